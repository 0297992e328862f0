package main

import "testing"

func TestRoutes(t *testing.T) {
	if status, body := get(t, routes(), "GET", "/", ""); status != 200 || body != "hello from {{ name }}\n" {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := get(t, routes(), "GET", "/missing", ""); status != 404 {
		t.Errorf("an unknown path: %d", status)
	}
}
