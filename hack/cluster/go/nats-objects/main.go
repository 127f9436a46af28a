// Command nats-objects puts a file into an object store of NATS with the official Go client, and
// gets it again: what our own code is measured against (tests/perf/nats_store.py).
//
//	nats-objects URL BUCKET FILE
//
// It prints the seconds of both as JSON: {"put": 0.5, "get": 0.4}. The bucket is made and deleted.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: nats-objects URL BUCKET FILE")
		os.Exit(2)
	}
	seconds, err := measure(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(seconds)
}

func measure(url, bucket, file string) (map[string]float64, error) {
	connection, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	store, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket})
	if err != nil {
		return nil, err
	}
	defer js.DeleteObjectStore(ctx, bucket)
	begun := time.Now()
	if err := put(ctx, store, file); err != nil {
		return nil, err
	}
	stored := time.Now()
	if err := get(ctx, store); err != nil {
		return nil, err
	}
	return map[string]float64{
		"put": stored.Sub(begun).Seconds(),
		"get": time.Since(stored).Seconds(),
	}, nil
}

func put(ctx context.Context, store jetstream.ObjectStore, file string) error {
	source, err := os.Open(file)
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = store.Put(ctx, jetstream.ObjectMeta{Name: "x"}, source)
	return err
}

func get(ctx context.Context, store jetstream.ObjectStore) error {
	object, err := store.Get(ctx, "x")
	if err != nil {
		return err
	}
	defer object.Close()
	_, err = io.Copy(io.Discard, object)
	return err
}
