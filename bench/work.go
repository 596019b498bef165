package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// work is one kind of load.
type work struct {
	name        string
	path        string
	connections int
	lua         func(s *server) (string, error) // a wrk script, or nil
	floor       bool                            // the floor server answers something comparable
	status      int                             // every answer must have
}

const manyFiles = 10_000

// makeSite makes the files that the works ask for.
func makeSite(dir string) error {
	random := rand.NewChaCha8([32]byte{})
	file := func(name string, size int) error {
		b := make([]byte, size)
		random.Read(b)
		return os.WriteFile(filepath.Join(dir, name), b, 0o644)
	}
	for name, size := range map[string]int{"1k.txt": 1 << 10, "10k.txt": 10 << 10, "100k.txt": 100 << 10, "100m.bin": 100 << 20} {
		if err := file(name, size); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "many"), 0o755); err != nil {
		return err
	}
	for i := range manyFiles {
		if err := file(fmt.Sprintf("many/%d.txt", i), 1<<10); err != nil {
			return err
		}
	}
	return nil
}

func works() []work {
	return []work{
		{name: "1 KiB", path: "/1k.txt", connections: 64, floor: true, status: 200},
		{name: "10 KiB", path: "/10k.txt", connections: 64, status: 200},
		{name: "100 KiB", path: "/100k.txt", connections: 32, status: 200},
		{name: "10,000 files", path: "/many/0.txt", connections: 64, lua: manyScript, status: 200},
		{name: "100 MB", path: "/100m.bin", connections: 4, status: 200},
		{name: "404", path: "/none.txt", connections: 64, status: 404},
		{name: "304", path: "/1k.txt", connections: 64, lua: notModified, status: 304},
	}
}

func manyScript(*server) (string, error) {
	return fmt.Sprintf(`
local paths = {}
for i = 0, %d do paths[i] = wrk.format("GET", "/many/" .. i .. ".txt", {Host = "bench"}) end
request = function() return paths[math.random(0, %d)] end
`, manyFiles-1, manyFiles-1), nil
}

// notModified asks with the validators that the server itself gave.
func notModified(s *server) (string, error) {
	res, err := http.Get(s.url("/1k.txt"))
	if err != nil {
		return "", err
	}
	res.Body.Close()
	var lua strings.Builder
	for from, to := range map[string]string{"Etag": "If-None-Match", "Last-Modified": "If-Modified-Since"} {
		if v := res.Header.Get(from); v != "" {
			fmt.Fprintf(&lua, "wrk.headers[%q] = %q\n", to, v)
		}
	}
	return lua.String(), nil
}
