#!/bin/bash
# Builds the judge of braft: build.sh BRPC BRAFT TARGET, the first two being checkouts of apache/brpc (1.17) and
# baidu/braft, of which copies are built. It needs g++, cmake, make, and the development packages of gflags, leveldb,
# protobuf (3.21) and OpenSSL. Nothing is optimised, and headers are compiled once, so that it takes some five minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$3
mkdir -p "$target"
rm -rf "$target/brpc" "$target/braft"
cp -r "$1" "$target/brpc"
cp -r "$2" "$target/braft"

cd "$target/brpc"
sed -i 's/^    -O2$/    -O0 -g0/; s/^    -Wall$/    -w/; s/^    -W$//' CMakeLists.txt
cat >> src/CMakeLists.txt <<'CMAKE'
target_precompile_headers(SOURCES_LIB PRIVATE <string> <map> <set> <vector> <memory> <functional>
    <google/protobuf/message.h> <google/protobuf/descriptor.h> <google/protobuf/service.h> <gflags/gflags.h>
    "butil/logging.h" "butil/iobuf.h" "butil/time.h" "bvar/bvar.h" "bthread/bthread.h")
# It makes a private constant public, before the header is read that has it.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/brpc/protocol.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
CMAKE
cmake -S . -B build -DCMAKE_BUILD_TYPE=None -DBUILD_BRPC_TOOLS=OFF -DWITH_DEBUG_SYMBOLS=OFF > /dev/null
make -C build -j"$(nproc)" brpc-static

cd "$target/braft"
sed -i '/^static int64_t get_window_recorder_qps/,/^}/s/detail::Sample<Stat>/Sample<Stat>/' src/braft/util.cpp
for proto in src/braft/*.proto; do protoc --cpp_out=src --proto_path=/usr/include --proto_path=src "$proto"; done
cp "$here/judge.cpp" src/
cat > Makefile <<'MAKE'
FLAGS := -O0 -g0 -w -std=c++14 -msse4.2 -DBRPC_WITH_GLOG=0 -DBRPC_WITH_RDMA=0 -DBRPC_DEBUG_BTHREAD_SCHE_SAFETY=0 \
  -DBRPC_DEBUG_LOCK=0 -DGFLAGS_NS=google -DBTHREAD_USE_FAST_PTHREAD_MUTEX -D__const__=__unused__ -D_GNU_SOURCE \
  -DUSE_SYMBOLIZE -DNO_TCMALLOC -D__STDC_FORMAT_MACROS -D__STDC_LIMIT_MACROS -D__STDC_CONSTANT_MACROS \
  -D__STRICT_ANSI__ -DNDEBUG -DBRAFT_REVISION=\"judge\" -Isrc -I../brpc/build/output/include -I../brpc/build
OBJECTS := $(patsubst %.cpp,%.o,$(wildcard src/braft/*.cpp) src/judge.cpp) \
  $(patsubst %.cc,%.o,$(wildcard src/braft/*.pb.cc))
../judge: $(OBJECTS)
	g++ -o $@ $^ ../brpc/build/output/lib/libbrpc.a -lgflags -lprotobuf -lleveldb -lssl -lcrypto -ldl -lz -lpthread -lrt
all.h.gch: all.h
	g++ $(FLAGS) -x c++-header -o $@ $<
%.o: %.cpp all.h.gch
	g++ $(FLAGS) -include all.h -c -o $@ $<
%.o: %.cc
	g++ $(FLAGS) -c -o $@ $<
MAKE
printf '#include <%s>\n' string map set vector iostream google/protobuf/message.h google/protobuf/service.h \
  gflags/gflags.h butil/logging.h butil/iobuf.h brpc/channel.h brpc/server.h brpc/controller.h bthread/bthread.h > all.h
make -j"$(nproc)" ../judge
