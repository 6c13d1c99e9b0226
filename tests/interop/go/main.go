// The real programs, as judges: they write snapshots, and read, verify and start from what was written for them.
//
//	judge store-write DIR SIZE | store-start DIR | archive-write FILE SIZE | archive-start FILE
//	judge snap-write DIR SIZE | snap-read DIR | db-write FILE KEYS | db-fill FILE SIZE | db-status FILE
//	judge verify (store DIR | archive FILE | db FILE)        how long it takes to check one, in seconds
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	archive "github.com/hashicorp/raft-snapshot"
	clientv3 "go.etcd.io/etcd/client/v3"
	utl "go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/raft/v3/raftpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/mvcc"
	"go.etcd.io/etcd/server/v3/mvcc/backend"
	"go.etcd.io/etcd/server/v3/mvcc/buckets"
	"go.uber.org/zap"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(v any) { check(json.NewEncoder(os.Stdout).Encode(v)) }

// state is what every program saves: byte i is i*i + i/251, so that no two blocks are alike.
type state struct{ left, at int64 }

func (s *state) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := int64(len(p))
	if n > s.left {
		n = s.left
	}
	for i := int64(0); i < n; i++ {
		p[i] = byte((s.at+i)*(s.at+i) + (s.at+i)/251)
	}
	s.at += n
	s.left -= n
	return int(n), nil
}

// fsm has a state of some bytes, and remembers what it was given back.
type fsm struct {
	size   int64
	digest string
	bytes  int64
}

func (f *fsm) Apply(*raft.Log) any                 { return nil }
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return f, nil }
func (f *fsm) Release()                            {}
func (f *fsm) Persist(sink raft.SnapshotSink) error {
	if _, err := io.Copy(sink, &state{left: f.size}); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}
func (f *fsm) Restore(from io.ReadCloser) error {
	hash := sha256.New()
	n, err := io.Copy(hash, from)
	f.bytes, f.digest = n, hex.EncodeToString(hash.Sum(nil))
	return err
}

func node(f *fsm, snapshots raft.SnapshotStore, bootstrap bool) *raft.Raft {
	config := raft.DefaultConfig()
	config.LocalID = "n1"
	config.LogOutput = io.Discard
	config.HeartbeatTimeout, config.ElectionTimeout = 100*time.Millisecond, 100*time.Millisecond
	config.LeaderLeaseTimeout, config.CommitTimeout = 100*time.Millisecond, 5*time.Millisecond
	address, transport := raft.NewInmemTransport("n1")
	store := raft.NewInmemStore()
	if bootstrap {
		servers := []raft.Server{{ID: "n1", Address: address}}
		check(raft.BootstrapCluster(config, store, store, snapshots, transport, raft.Configuration{Servers: servers}))
	}
	r, err := raft.NewRaft(config, f, store, store, snapshots, transport)
	check(err)
	if bootstrap {
		for r.State() != raft.Leader {
			time.Sleep(10 * time.Millisecond)
		}
		for i := 0; i < 5; i++ {
			check(r.Apply([]byte("x"), time.Second).Error())
		}
	}
	return r
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	check(err)
	return n
}

func main() {
	path := os.Args[2]
	logger := hclog.NewNullLogger()
	switch os.Args[1] {
	case "store-write":
		store, err := raft.NewFileSnapshotStore(path, 3, io.Discard)
		check(err)
		r := node(&fsm{size: number(os.Args[3])}, store, true)
		check(r.Snapshot().Error())
		list, err := store.List()
		check(err)
		say(list[0])
	case "store-start":
		store, err := raft.NewFileSnapshotStore(path, 3, io.Discard)
		check(err)
		list, err := store.List()
		check(err)
		f := &fsm{}
		r := node(f, store, false)
		say(map[string]any{
			"meta": list[0], "bytes": f.bytes, "sha256": f.digest, "applied": r.AppliedIndex(),
			"servers": r.GetConfiguration().Configuration().Servers,
		})
	case "archive-write":
		r := node(&fsm{size: number(os.Args[3])}, raft.NewInmemSnapshotStore(), true)
		made, err := archive.New(logger, r)
		check(err)
		defer made.Close()
		file, err := os.Create(path)
		check(err)
		_, err = io.Copy(file, made)
		check(err)
		check(file.Close())
		say(map[string]any{"index": made.Index()})
	case "archive-start":
		file, err := os.Open(path)
		check(err)
		meta, err := archive.Verify(file)
		check(err)
		_, err = file.Seek(0, io.SeekStart)
		check(err)
		f := &fsm{}
		r := node(f, raft.NewInmemSnapshotStore(), true)
		check(archive.Restore(logger, file, r))
		say(map[string]any{"meta": meta, "bytes": f.bytes, "sha256": f.digest})
	case "snap-write":
		data, _ := io.ReadAll(&state{left: number(os.Args[3])})
		check(os.MkdirAll(path, 0o700))
		check(snap.New(zap.NewNop(), path).SaveSnap(raftpb.Snapshot{Data: data, Metadata: raftpb.SnapshotMetadata{
			Index: 300, Term: 4, ConfState: raftpb.ConfState{Voters: []uint64{1, 0xffffffffffffffff}, Learners: []uint64{7}},
		}}))
		say(map[string]any{})
	case "snap-read":
		found, err := snap.New(zap.NewNop(), path).Load()
		check(err)
		sum := sha256.Sum256(found.Data)
		say(map[string]any{
			"index": found.Metadata.Index, "term": found.Metadata.Term, "voters": len(found.Metadata.ConfState.Voters),
			"learners": len(found.Metadata.ConfState.Learners), "bytes": len(found.Data), "sha256": hex.EncodeToString(sum[:]),
		})
	case "db-write":
		writeDatabase(path, number(os.Args[3]))
	case "db-fill":
		fillDatabase(path, number(os.Args[3]))
	case "verify":
		began := time.Now()
		verify(path, os.Args[3])
		say(map[string]any{"seconds": time.Since(began).Seconds()})
	case "db-status":
		status, err := utl.NewV3(zap.NewNop()).Status(path)
		check(err)
		say(status)
	}
}

// writeDatabase has an etcd of one member save its snapshot.
func writeDatabase(path string, keys int64) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(filepath.Dir(path), "etcd")
	config.LogLevel, config.LogOutputs = "panic", []string{"/dev/null"}
	free := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config.ListenClientUrls, config.ListenPeerUrls = []url.URL{free}, []url.URL{free}
	etcd, err := embed.StartEtcd(config)
	check(err)
	<-etcd.Server.ReadyNotify()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Clients[0].Addr().String()}})
	check(err)
	for i := int64(0); i < keys; i++ {
		_, err = client.Put(context.Background(), fmt.Sprintf("key-%d", i), fmt.Sprintf("value %d", i))
		check(err)
	}
	_, err = client.Delete(context.Background(), "key-0")
	check(err)
	from, err := client.Snapshot(context.Background())
	check(err)
	file, err := os.Create(path)
	check(err)
	_, err = io.Copy(file, from)
	check(err)
	check(file.Close())
	say(map[string]any{})
	os.Exit(0)
}

// fillDatabase writes what a member that has keys of so many bytes keeps, as the backend and the store of etcd do.
func fillDatabase(path string, size int64) {
	values := backend.NewDefaultBackend(path)
	store := mvcc.NewStore(zap.NewNop(), values, &lease.FakeLessor{}, mvcc.StoreConfig{})
	value := make([]byte, 1000)
	random := rand.New(rand.NewSource(1))
	for left := size; left > 0; left -= int64(len(value)) {
		random.Read(value)
		store.Put([]byte(fmt.Sprintf("/registry/pods/%x", random.Int63())), value, lease.NoLease)
	}
	store.Commit()
	for _, bucket := range []backend.Bucket{buckets.Meta, buckets.Lease, buckets.Members, buckets.Cluster} {
		tx := values.BatchTx()
		tx.Lock()
		tx.UnsafeCreateBucket(bucket)
		tx.Unlock()
	}
	values.ForceCommit()
	file, err := os.Create(path + ".snap")
	check(err)
	hash := sha256.New()
	snapshot := values.Snapshot()
	_, err = snapshot.WriteTo(io.MultiWriter(file, hash))
	check(err)
	_, err = file.Write(hash.Sum(nil))
	check(err)
	check(file.Close())
	check(snapshot.Close())
	check(store.Close())
	check(values.Close())
	check(os.Rename(path+".snap", path))
	say(map[string]any{})
}

// verify checks a snapshot as a program does that then starts from it.
func verify(what, path string) {
	switch what {
	case "store": // its check is made when it is opened; then it is read
		store, err := raft.NewFileSnapshotStore(path, 3, io.Discard)
		check(err)
		list, err := store.List()
		check(err)
		_, state, err := store.Open(list[0].ID)
		check(err)
		_, err = io.Copy(io.Discard, state)
		check(err)
		check(state.Close())
	case "archive":
		file, err := os.Open(path)
		check(err)
		_, err = archive.Verify(file)
		check(err)
	case "db":
		_, err := utl.NewV3(zap.NewNop()).Status(path)
		check(err)
	}
}
