// {{ name }} is an HTTP service.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	healthy := func() error { return nil }
	if err := serve(ctx, withOperations(routes(), healthy)); err != nil {
		slog.Error("failed", "error", err)
		os.Exit(1)
	}
}

// routes returns what the service does.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello from {{ name }}")
	})
	return mux
}
