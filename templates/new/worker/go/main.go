// {{ name }} works in the background.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// interval is the time between two items.
	interval = time.Second
	// patience is how long an item may take before the worker is not healthy.
	patience = time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	w := newWorker()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	err := serve(ctx, withOperations(http.NotFoundHandler(), w.healthy))
	stop()
	<-done
	if err != nil {
		slog.Error("failed", "error", err)
		os.Exit(1)
	}
}

// worker processes items one after the other.
type worker struct{ last atomic.Int64 }

func newWorker() *worker {
	w := &worker{}
	w.last.Store(time.Now().UnixNano())
	return w
}

// run processes items until ctx ends; the item in work is finished.
func (w *worker) run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.process()
		}
	}
}

// process is where the work belongs, such as one message of a queue.
func (w *worker) process() {
	{{ counter }}.Add(1)
	w.last.Store(time.Now().UnixNano())
}

// healthy reports whether the worker still makes progress.
func (w *worker) healthy() error {
	if time.Since(time.Unix(0, w.last.Load())) > patience {
		return errors.New("no item was processed for a minute")
	}
	return nil
}
