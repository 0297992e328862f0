package main

import (
	"context"
	"testing"
)

func TestAllItemsAreProcessed(t *testing.T) {
	if done, err := run(context.Background(), []string{"a", "b"}); done != 2 || err != nil {
		t.Error(done, err)
	}
}

func TestItStopsBetweenItems(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if done, err := run(ctx, []string{"a"}); done != 0 || err == nil {
		t.Error(done, err)
	}
}
