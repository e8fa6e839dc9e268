package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hupe1980/rivven-cluster/actors/live"
)

// The key outlives the process, or peers of a node that was killed would wait for a timeout.
func TestResetKeyOutlivesTheProcess(t *testing.T) {
	system := live.NewSystem()
	defer system.Shutdown()
	env := system.Env()
	path := filepath.Join(t.TempDir(), "quic-reset.key")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil { // as a power failure leaves it
		t.Fatal(err)
	}
	first, err := resetKey(path, env)
	if err != nil || first == [32]byte{} {
		t.Fatalf("made %x, %v", first, err)
	}
	if again, err := resetKey(path, env); err != nil || again != first {
		t.Errorf("read %x, %v, want %x", again, err, first)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: the key is a secret", info, err)
	}
	if err := os.WriteFile(path, first[:31], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := resetKey(path, env); err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("a damaged key: %v", err)
	}
}
