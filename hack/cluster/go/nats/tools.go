//go:build tools

// Package tools pins the commands that hack/cluster builds.
package tools

import (
	_ "github.com/nats-io/nats-server/v2"
)
