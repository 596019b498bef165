// Package main_test uses sited as people do: the real binary on real sockets,
// files and processes, with curl, php-cgi and promtool beside it.
package main_test

import (
	"os"
	"testing"

	"sited/rig"
)

// binary is sited as the tests run it.
var binary string

func TestMain(m *testing.M) { os.Exit(rig.Main(m, &binary)) }
