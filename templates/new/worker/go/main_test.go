package main

import (
	"context"
	"testing"
	"time"
)

func TestAnItemIsProcessed(t *testing.T) {
	before := {{ counter }}.Load()
	w := newWorker()
	w.process()
	if {{ counter }}.Load() != before+1 || w.healthy() != nil {
		t.Error("the item was not counted")
	}
	w.last.Store(time.Now().Add(-2 * patience).UnixNano())
	if w.healthy() == nil {
		t.Error("a worker without progress is healthy")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	newWorker().run(ctx)
}
