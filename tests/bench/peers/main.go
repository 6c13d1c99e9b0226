// What `deno task bench peers` measures of hashicorp/raft: how long it takes to save a state, and to send it to another
// node, as raft itself does both.
//
//	peers store BLOCK DIR SIZE | install BLOCK DIR SIZE
//
// The state is a block, read into memory before, over and over.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// save writes what it is given to a snapshot, which is durable when this returns.
func save(store *raft.FileSnapshotStore, from io.Reader) error {
	sink, err := store.Create(raft.SnapshotVersionMax, 1, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(sink, from); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

// transport listens on loopback.
func transport() *raft.NetworkTransport {
	t, err := raft.NewTCPTransportWithLogger("127.0.0.1:0", nil, 2, time.Minute, hclog.NewNullLogger())
	check(err)
	return t
}

// repeated is a block over and over.
type repeated struct {
	block []byte
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}

// install sends a state from one node to another, which writes it to its store as raft does.
func install(store *raft.FileSnapshotStore, state io.Reader, size int64) {
	leader, follower := transport(), transport()
	go func() {
		rpc := <-follower.Consumer()
		request := rpc.Command.(*raft.InstallSnapshotRequest)
		err := save(store, io.LimitReader(rpc.Reader, request.Size))
		rpc.Respond(&raft.InstallSnapshotResponse{Success: err == nil}, err)
	}()
	request := raft.InstallSnapshotRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, Term: 1, LastLogIndex: 1, LastLogTerm: 1, Size: size,
	}
	var response raft.InstallSnapshotResponse
	check(leader.InstallSnapshot("follower", follower.LocalAddr(), &request, &response, state))
	if !response.Success {
		check(fmt.Errorf("the follower could not install it"))
	}
}

func main() {
	block, err := os.ReadFile(os.Args[2])
	check(err)
	size, err := strconv.ParseInt(os.Args[4], 10, 64)
	check(err)
	state := io.LimitReader(&repeated{block: block}, size)
	store, err := raft.NewFileSnapshotStoreWithLogger(os.Args[3], 1, hclog.NewNullLogger())
	check(err)
	began := time.Now()
	switch os.Args[1] {
	case "store":
		check(save(store, state))
	case "install":
		install(store, state, size)
	}
	fmt.Printf("{\"seconds\":%f}\n", time.Since(began).Seconds())
}
