package chaos

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"sited/rig"
)

// binary is sited as the tests run it: built once, with the race detector where
// there is a C compiler.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	for *seed == 0 {
		*seed = rand.Uint64()
	}
	os.Exit(rig.Main(m, &binary))
}
