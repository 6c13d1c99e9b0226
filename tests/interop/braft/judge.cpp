// A real node of braft: it installs what is served for it, starts from a snapshot, and offers its own.
//
//   judge install PORT DIR URI INDEX TERM [RATE]    a follower whose leader has it install from URI
//   judge start PORT DIR                            a node that starts from the snapshots in DIR/snapshot
//   judge serve PORT DIR SIZE [RATE]                a leader that saves a state, and offers it until its input ends
//
// Each line that it says is JSON; of what was loaded with the SHA-1 of each file. RATE is in bytes a second.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include <braft/file_system_adaptor.h>
#include <braft/raft.h>
#include <braft/raft.pb.h>
#include <braft/snapshot.h>
#include <braft/snapshot_throttle.h>
#include <braft/storage.h>
#include <brpc/channel.h>
#include <brpc/server.h>
#include <butil/file_util.h>
#include <butil/sha1.h>

static const char* const NOBODY = "127.0.0.1:9:0";

static std::string hex(const std::string& bytes) {
  std::string text;
  char digits[3];
  for (unsigned char byte : bytes) {
    snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

class Machine : public braft::StateMachine {
 public:
  int64_t size = 0;
  butil::atomic<bool> leads{false};

  void on_apply(braft::Iterator& entries) override {
    for (; entries.valid(); entries.next()) braft::AsyncClosureGuard guard(entries.done());
  }

  void on_snapshot_save(braft::SnapshotWriter* writer, braft::Closure* done) override {
    brpc::ClosureGuard guard(done);
    save(writer, done, "state", size, 1);
    save(writer, done, "empty", 0, 1);
    save(writer, done, "small", 5, 2);
    save(writer, done, "part/131072", 131072, 3);  // what is asked for at a time
    save(writer, done, "part/131073", 131073, 4);
  }

  int on_snapshot_load(braft::SnapshotReader* reader) override {
    braft::SnapshotMeta meta;
    if (reader->load_meta(&meta) != 0) return -1;
    std::vector<std::string> names;
    reader->list_files(&names);
    std::ostringstream files;
    for (auto& name : names) {
      std::ifstream in(reader->get_path() + "/" + name, std::ios::binary);
      if (!in) return -1;
      std::stringstream bytes;
      bytes << in.rdbuf();
      files << (&name == &names[0] ? "" : ",") << '"' << name << "\":\"" << hex(butil::SHA1HashString(bytes.str())) << '"';
    }
    std::cout << "{\"index\":" << meta.last_included_index() << ",\"term\":" << meta.last_included_term()
              << ",\"files\":{" << files.str() << "}}" << std::endl;
    return 0;
  }

  void on_leader_start(int64_t) override { leads = true; }
  void on_leader_stop(const butil::Status&) override { leads = false; }

 private:
  void save(braft::SnapshotWriter* writer, braft::Closure* done, const std::string& name, int64_t length, uint32_t x) {
    butil::FilePath path(writer->get_path() + "/" + name);
    butil::CreateDirectory(path.DirName());
    std::ofstream out(path.value(), std::ios::binary);
    std::string block(1 << 16, 0);
    for (int64_t left = length; left > 0; left -= block.size()) {
      for (auto& byte : block) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        byte = x;
      }
      out.write(block.data(), std::min<int64_t>(left, block.size()));
    }
    out.close();
    braft::LocalFileMeta meta;
    if (name == "small") meta.set_checksum("of the application");
    if (writer->add_file(name, &meta) != 0) done->status().set_error(EIO, "The file was not added");
  }
};

static int install(const butil::EndPoint& self, const char* uri, int64_t index, int64_t term) {
  brpc::Channel channel;
  brpc::ChannelOptions options;
  options.timeout_ms = 200000;
  options.max_retry = 0;
  if (channel.Init(self, &options) != 0) return 2;
  const std::string own = std::string(butil::endpoint2str(self).c_str()) + ":0";
  braft::InstallSnapshotRequest request;
  braft::InstallSnapshotResponse response;
  request.set_group_id("judge");
  request.set_server_id(NOBODY);
  request.set_peer_id(own);
  request.set_term(term);
  request.mutable_meta()->set_last_included_index(index);
  request.mutable_meta()->set_last_included_term(term);
  request.mutable_meta()->add_peers(own);
  request.mutable_meta()->add_peers(NOBODY);
  request.set_uri(uri);
  brpc::Controller controller;
  braft::RaftService_Stub(&channel).install_snapshot(&controller, &request, &response, NULL);
  const bool done = !controller.Failed() && response.success();
  std::cout << "{\"installed\":" << (done ? "true" : "false") << "}" << std::endl;
  return 0;
}

static int serve(braft::Node& node, Machine& machine, braft::LocalSnapshotStorage& storage) {
  while (!machine.leads) usleep(10000);
  for (int i = 0; i < 100; i++) {
    butil::IOBuf data;
    data.append("entry");
    braft::SynchronizedClosure applied;
    braft::Task task;
    task.data = &data;
    task.done = &applied;
    node.apply(task);
    applied.wait();
    if (!applied.status().ok()) return 4;
  }
  braft::SynchronizedClosure saved;
  node.snapshot(&saved);
  saved.wait();
  if (!saved.status().ok() || storage.init() != 0) return 5;
  braft::SnapshotReader* reader = storage.open();
  if (reader == NULL || machine.on_snapshot_load(reader) != 0) return 6;
  std::cout << "{\"uri\":\"" << reader->generate_uri_for_copy() << "\"}" << std::endl;
  for (char byte; read(0, &byte, 1) > 0;) {
  }
  return 0;
}

int main(int argc, char** argv) {
  const std::string what = argv[1], address = std::string("127.0.0.1:") + argv[2], directory = argv[3];
  logging::SetMinLogLevel(3);
  brpc::Server server;
  if (braft::add_service(&server, address.c_str()) != 0 || server.Start(address.c_str(), NULL) != 0) return 2;
  butil::EndPoint self;
  butil::str2endpoint(address.c_str(), &self);
  Machine machine;
  braft::NodeOptions options;
  options.fsm = &machine;
  options.snapshot_interval_s = 0;
  options.log_uri = "local://" + directory + "/log";
  options.raft_meta_uri = "local://" + directory + "/raft_meta";
  options.snapshot_uri = "local://" + directory + "/snapshot";
  options.filter_before_copy_remote = true;
  options.election_timeout_ms = what == "serve" ? 200 : 600000;  // a follower waits for its leader
  if (options.initial_conf.parse_from(address + ":0" + (what == "serve" ? "" : std::string(",") + NOBODY)) != 0) return 2;
  const int rate_at = what == "serve" ? 5 : 7;
  scoped_refptr<braft::SnapshotThrottle> throttle;
  if (argc > rate_at) {
    throttle = new braft::ThroughputSnapshotThrottle(atoll(argv[rate_at]), 10);
    options.snapshot_throttle = &throttle;
  }
  braft::Node node("judge", braft::PeerId(self));
  if (node.init(options) != 0) return 3;
  int code = 0;
  if (what == "install") code = install(self, argv[4], atoll(argv[5]), atoll(argv[6]));
  if (what == "serve") {
    machine.size = atoll(argv[4]);
    braft::LocalSnapshotStorage storage(directory + "/snapshot");
    storage.set_server_addr(self);
    if (throttle != NULL) storage.set_snapshot_throttle(throttle.get());
    code = serve(node, machine, storage);
  }
  _exit(code);  // its threads have no end
}
