// {{ name }} runs a task and ends.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	done, err := run(ctx, []string{"first", "second"})
	if err != nil {
		// The exit code tells Kubernetes to run the task again.
		slog.Error("failed", "done", done, "error", err)
		os.Exit(1)
	}
	slog.Info("finished", "done", done)
}

// run processes the items, and returns how many are done. It stops between two items when ctx ends.
func run(ctx context.Context, items []string) (done int, err error) {
	for _, item := range items {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		slog.Info("processing", "item", item)
		done++
	}
	return done, nil
}
