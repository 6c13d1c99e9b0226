import java.io.File;
import java.util.*;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.*;
import org.apache.flink.api.common.typeinfo.*;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.state.*;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.legacy.DiscardingSink;
import org.apache.flink.streaming.api.functions.source.legacy.RichSourceFunction;
import org.apache.flink.util.Collector;

/**
 * A job whose state is in RocksDB, and changes between its incremental checkpoints: DIR KEYS ROUNDS [SETTING=VALUE …].
 * Each round goes over all keys, and is followed by a checkpoint. Prints where the last one is.
 */
public class Updates {
  static final AtomicLong saved = new AtomicLong();

  public static class Rounds extends RichSourceFunction<Long> implements CheckpointedFunction, CheckpointListener {
    final long keys, rounds;
    volatile boolean run = true;
    volatile long done = 0;
    final Map<Long, Long> doneAt = Collections.synchronizedMap(new HashMap<>());

    Rounds(long keys, long rounds) { this.keys = keys; this.rounds = rounds; }

    public void run(SourceContext<Long> to) throws Exception {
      for (long round = 0; round < rounds; round++) {
        synchronized (to.getCheckpointLock()) {
          for (long k = 0; k < keys; k++) to.collect(round << 32 | k);
          done++;
        }
        while (run && saved.get() < done) Thread.sleep(10);
      }
      while (run) Thread.sleep(10);
    }

    public void cancel() { run = false; }
    public void snapshotState(FunctionSnapshotContext context) { doneAt.put(context.getCheckpointId(), done); }
    public void initializeState(FunctionInitializationContext context) {}
    public void notifyCheckpointComplete(long id) { saved.accumulateAndGet(doneAt.getOrDefault(id, 0L), Math::max); }
  }

  public static class Keyed extends KeyedProcessFunction<String, Long, String> {
    transient ValueState<Long> count;
    transient ListState<Integer> list;
    transient MapState<String, Integer> map;

    @Override public void open(OpenContext context) {
      count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Long.class));
      list = getRuntimeContext().getListState(new ListStateDescriptor<>("list", Integer.class));
      map = getRuntimeContext().getMapState(new MapStateDescriptor<>("map", String.class, Integer.class));
    }

    @Override public void processElement(Long element, Context context, Collector<String> to) throws Exception {
      long k = element & 0xffffffffL;
      int round = (int) (element >> 32);
      if ((k + round) % 7 == 0) {
        count.clear();
        list.clear();
        map.clear();
        return;
      }
      if ((k + round) % 3 != 0) count.update(k * 1000 + round);
      if ((k + round) % 5 == 0) list.update(List.of((int) k));
      else list.add(round);
      map.put("m" + round % 3, round);
      map.remove("m" + (round + 1) % 3);
    }
  }

  public static void main(String[] args) throws Exception {
    String dir = args[0];
    long keys = Long.parseLong(args[1]), rounds = Long.parseLong(args[2]);
    Configuration c = new Configuration();
    c.setString("parallelism.default", "1");
    c.setString("state.backend.type", "rocksdb");
    c.setString("execution.checkpointing.incremental", "true");
    c.setString("execution.checkpointing.dir", "file://" + dir);
    c.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    c.setString("state.backend.rocksdb.writebuffer.size", "64kb");
    c.setString("state.backend.rocksdb.compaction.level.target-file-size-base", "16kb");
    c.setString("state.backend.rocksdb.compaction.level.max-size-level-base", "32kb");
    c.setString("execution.checkpointing.data-inline-threshold", "0");
    c.setString("rest.port", "0");
    c.setString("rest.bind-port", "0");
    for (int i = 3; i < args.length; i++) c.setString(args[i].split("=")[0], args[i].split("=")[1]);
    StreamExecutionEnvironment e = StreamExecutionEnvironment.getExecutionEnvironment(c);
    e.setMaxParallelism(128);
    e.enableCheckpointing(200);
    e.addSource(new Rounds(keys, rounds)).uid("numbers").returns(Types.LONG)
        .keyBy((KeySelector<Long, String>) k -> "key-" + (k & 0xffffffffL), Types.STRING).process(new Keyed())
        .uid("keyed").name("Keyed").returns(Types.STRING).addSink(new DiscardingSink<>());
    JobClient job = e.executeAsync("updates");
    while (saved.get() < rounds) Thread.sleep(20);
    job.cancel().get();
    try {
      while (!job.getJobStatus().get().isGloballyTerminalState()) Thread.sleep(20);
    } catch (IllegalStateException ended) {
      // The cluster goes with its job.
    }
    File[] checkpoints = new File(dir, job.getJobID().toString()).listFiles((d, name) -> name.startsWith("chk-"));
    System.out.println("{\"path\":\"" + checkpoints[0].getParent() + "\"}"); // of which the newest is opened
    System.exit(0);
  }
}
