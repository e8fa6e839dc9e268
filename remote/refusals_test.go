package remote

import (
	"fmt"
	"testing"
)

func TestRefusalsAreToldOnce(t *testing.T) {
	var r refusals
	told := func(want bool, node uint64, address string, code Code) {
		t.Helper()
		if got := r.first(node, address, code); got != want {
			t.Errorf("node %d at %s, %s: %v", node, address, code, got)
		}
	}
	told(true, 0, "a:1", CodeCertificate) // before it is known who that is
	told(false, 2, "a:1", CodeCertificate)
	told(false, 2, "a:7", CodeCertificate) // its other port
	told(true, 2, "a:1", CodeCluster)
	told(false, 0, "a:1", CodeCluster)
	told(true, 3, "a:1", CodeCluster) // another node there
	told(true, 4, "b:1", CodeCertificate)
	told(false, 0, "b:1", CodeCertificate)

	r.forget(2, "a:1")
	told(true, 2, "a:1", CodeCertificate)
	told(true, 2, "a:1", CodeCluster)
	told(false, 4, "b:1", CodeCertificate)

	for node := range uint64(10 * refusalsMax) {
		told(true, node+100, fmt.Sprint("c:", node), CodeCertificate)
	}
	if len(r.order) > refusalsMax || len(r.seen) != len(r.order) {
		t.Errorf("%d and %d rows", len(r.order), len(r.seen))
	}
	told(true, 4, "b:1", CodeCertificate)
}
