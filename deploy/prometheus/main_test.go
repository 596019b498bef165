package prometheus_test

import (
	"os"
	"testing"

	"sited/rig"
)

// binary is sited as the tests run it.
var binary string

func TestMain(m *testing.M) { os.Exit(rig.Main(m, &binary)) }
