package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// get returns the status and the body of an answer.
func get(t *testing.T, handler http.Handler, method, path, body string) (int, string) {
	t.Helper()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(method, path, strings.NewReader(body)))
	return answer.Code, answer.Body.String()
}

func TestOperations(t *testing.T) {
	var problem error
	handler := withOperations(http.NotFoundHandler(), func() error { return problem })
	if status, body := get(t, handler, "GET", "/healthz", ""); status != 200 || body != "ok\n" {
		t.Errorf("health: %d %q", status, body)
	}
	if _, body := get(t, handler, "GET", "/metrics", ""); !strings.Contains(body, "\n{{ metric }} ") {
		t.Errorf("metrics: %q", body)
	}
	problem = errors.New("broken")
	if status, _ := get(t, handler, "GET", "/healthz", ""); status != 503 {
		t.Errorf("health of a broken service: %d", status)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Setenv("PORT", "0")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := serve(ctx, http.NotFoundHandler()); err != nil {
		t.Error(err)
	}
}
