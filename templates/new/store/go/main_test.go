package main

import "testing"

func TestAValueIsKept(t *testing.T) {
	folder := t.TempDir()
	routes := store{folder}.routes()
	for _, step := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/keys/a", "", 404, "not found\n"},
		{"PUT", "/keys/a", "one", 204, ""},
		{"PUT", "/keys/a", "two", 204, ""},
		{"PUT", "/keys/..%2fb", "inside", 204, ""},
		{"GET", "/keys/a", "", 200, "two"},
		{"GET", "/keys/..%2fb", "", 200, "inside"},
		{"DELETE", "/keys/a", "", 204, ""},
		{"GET", "/keys/a", "", 404, "not found\n"},
	} {
		if status, body := get(t, routes, step.method, step.path, step.body); status != step.status || body != step.answer {
			t.Errorf("%s %s: %d %q", step.method, step.path, status, body)
		}
	}
	if (store{folder + "/missing"}).healthy() == nil {
		t.Error("a store without a folder is healthy")
	}
}
