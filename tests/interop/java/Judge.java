import com.alipay.sofa.jraft.*;
import com.alipay.sofa.jraft.conf.Configuration;
import com.alipay.sofa.jraft.core.StateMachineAdapter;
import com.alipay.sofa.jraft.entity.PeerId;
import com.alipay.sofa.jraft.error.RaftError;
import com.alipay.sofa.jraft.option.NodeOptions;
import com.alipay.sofa.jraft.storage.snapshot.*;
import org.apache.ratis.server.storage.RaftStorage;
import org.apache.ratis.statemachine.impl.SimpleStateMachineStorage;
import org.apache.ratis.util.MD5FileUtil;
import org.apache.ratis.util.SizeInBytes;
import java.io.*;
import java.net.ServerSocket;
import java.nio.file.*;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;

/**
 * SOFA-JRaft and Ratis as judges: jraft-write DIR SIZE | jraft-start DIR, whose directory has `snapshot_N`;
 * ratis-write DIR SIZE | ratis-load DIR, whose directory has `sm`.
 */
public class Judge {
  static void fill(OutputStream to, long size) throws IOException {
    byte[] part = new byte[65536];
    for (long at = 0; at < size; at += part.length) {
      int n = (int) Math.min(part.length, size - at);
      for (int i = 0; i < n; i++) part[i] = (byte) ((at + i) * (at + i) + (at + i) / 251);
      to.write(part, 0, n);
    }
  }

  static class Machine extends StateMachineAdapter {
    final long size;
    volatile String loaded;
    final CountDownLatch leader = new CountDownLatch(1);

    Machine(long size) { this.size = size; }

    @Override public void onApply(com.alipay.sofa.jraft.Iterator iterator) { for (; iterator.hasNext(); iterator.next()) if (iterator.done() != null) iterator.done().run(Status.OK()); }

    @Override public void onLeaderStart(long term) { leader.countDown(); }

    @Override public void onSnapshotSave(SnapshotWriter writer, Closure done) {
      try {
        for (String name : new String[] {"state", "small"}) {
          try (OutputStream to = Files.newOutputStream(Path.of(writer.getPath(), name))) { fill(to, name.equals("state") ? size : 10); }
          writer.addFile(name);
        }
        done.run(Status.OK());
      } catch (IOException e) {
        done.run(new Status(RaftError.EIO, e.getMessage()));
      }
    }

    @Override public boolean onSnapshotLoad(SnapshotReader reader) {
      try {
        StringBuilder files = new StringBuilder();
        for (String name : new TreeSet<>(reader.listFiles())) {
          MessageDigest digest = MessageDigest.getInstance("SHA-256");
          long bytes = 0;
          try (InputStream from = Files.newInputStream(Path.of(reader.getPath(), name))) {
            byte[] part = new byte[65536];
            for (int n; (n = from.read(part)) > 0; bytes += n) digest.update(part, 0, n);
          }
          files.append(files.length() > 0 ? "," : "").append("\"" + name + "\":{\"bytes\":" + bytes + ",\"sha256\":\"" + HexFormat.of().formatHex(digest.digest()) + "\"}");
        }
        var meta = reader.load();
        loaded = "{\"index\":" + meta.getLastIncludedIndex() + ",\"term\":" + meta.getLastIncludedTerm() + ",\"peers\":\"" + meta.getPeersList() + "\",\"files\":{" + files + "}}";
        return true;
      } catch (Exception e) {
        e.printStackTrace();
        return false;
      }
    }
  }

  static void ratis(String[] args) throws Exception {
    var storage = RaftStorage.newBuilder().setDirectory(new File(args[1])).setOption(
      args[0].equals("ratis-write") ? RaftStorage.StartupOption.FORMAT : RaftStorage.StartupOption.RECOVER)
      .setStorageFreeSpaceMin(SizeInBytes.valueOf("1KB")).build();
    storage.initialize();
    var machine = new SimpleStateMachineStorage();
    machine.init(storage);
    if (args[0].equals("ratis-write")) {
      File file = machine.getSnapshotFile(5, 77);
      try (OutputStream to = new FileOutputStream(file)) { fill(to, Long.parseLong(args[2])); }
      MD5FileUtil.computeAndSaveMd5ForFile(file);
      System.out.println("{}");
    } else {
      var found = machine.loadLatestSnapshot();
      File file = found.getFile().getPath().toFile();
      MD5FileUtil.verifySavedMD5(file, found.getFile().getFileDigest());
      System.out.println("{\"index\":" + found.getIndex() + ",\"term\":" + found.getTerm() + ",\"bytes\":" + file.length() + "}");
    }
    System.exit(0);
  }

  public static void main(String[] args) throws Exception {
    if (args[0].startsWith("ratis")) ratis(args);
    int port;
    try (ServerSocket socket = new ServerSocket(0)) { port = socket.getLocalPort(); }
    boolean write = args[0].equals("jraft-write");
    Machine machine = new Machine(write ? Long.parseLong(args[2]) : 0);
    PeerId self = new PeerId("127.0.0.1", port);
    NodeOptions options = new NodeOptions();
    options.setFsm(machine);
    options.setElectionTimeoutMs(300);
    options.setSnapshotIntervalSecs(0);
    Path rest = Files.createTempDirectory("jraft");
    options.setLogUri(rest.resolve("log").toString());
    options.setRaftMetaUri(rest.resolve("meta").toString());
    options.setSnapshotUri(args[1]);
    options.setInitialConf(new Configuration(List.of(self)));
    RaftGroupService service = new RaftGroupService("judge", self, options);
    Node node = service.start();
    if (write) {
      if (!machine.leader.await(30, TimeUnit.SECONDS)) throw new IllegalStateException("no leader");
      for (int i = 0; i < 5; i++) {
        CompletableFuture<Status> applied = new CompletableFuture<>();
        node.apply(new com.alipay.sofa.jraft.entity.Task(java.nio.ByteBuffer.wrap(new byte[] {1}), applied::complete));
        applied.get(10, TimeUnit.SECONDS);
      }
      CompletableFuture<Status> saved = new CompletableFuture<>();
      node.snapshot(saved::complete);
      Status status = saved.get(120, TimeUnit.SECONDS);
      if (!status.isOk()) throw new IllegalStateException(status.toString());
      System.out.println("{\"port\":" + port + "}");
    } else System.out.println(machine.loaded);
    System.exit(0);
  }
}
