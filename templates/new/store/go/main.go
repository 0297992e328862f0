// {{ name }} keeps values by their keys on a volume.
package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// longest is the size limit of a value, in bytes.
const longest = 1 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	folder := os.Getenv("DATA_DIR")
	if folder == "" {
		folder = "/data"
	}
	s := store{folder}
	if err := serve(ctx, withOperations(s.routes(), s.healthy)); err != nil {
		slog.Error("failed", "error", err)
		os.Exit(1)
	}
}

// store keeps each value in a file of a folder.
type store struct{ folder string }

func (s store) healthy() error {
	_, err := os.Stat(s.folder)
	return err
}

func (s store) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys/{key}", func(w http.ResponseWriter, r *http.Request) {
		value, err := os.ReadFile(s.path(r.PathValue("key")))
		if answered(w, err) {
			return
		}
		w.Write(value)
	})
	mux.HandleFunc("PUT /keys/{key}", func(w http.ResponseWriter, r *http.Request) {
		value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longest))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		if !answered(w, s.put(r.PathValue("key"), value)) {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	mux.HandleFunc("DELETE /keys/{key}", func(w http.ResponseWriter, r *http.Request) {
		if !answered(w, os.Remove(s.path(r.PathValue("key")))) {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return mux
}

// put replaces a value as a whole: a crash leaves the old value or the new one.
func (s store) put(key string, value []byte) error {
	file, err := os.CreateTemp(s.folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(value)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), s.path(key))
}

// path is the file of a key. Its prefix keeps keys apart from temporary files.
func (s store) path(key string) string {
	return filepath.Join(s.folder, "key-"+url.PathEscape(key))
}

// answered answers an error, if there is one.
func answered(w http.ResponseWriter, err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "not found", http.StatusNotFound)
	default:
		slog.Error("failed", "error", err)
		http.Error(w, "the store failed", http.StatusInternalServerError)
	}
	return true
}
