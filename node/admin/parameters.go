package admin

import (
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// page is what a list is asked for.
type page struct {
	prefix, after string
	limit         uint32
	stale         bool
}

func pageOf(r *http.Request) (page, error) {
	parameters := r.URL.Query()
	p := page{prefix: parameters.Get("prefix"), after: parameters.Get("after")}
	for _, f := range []struct{ name, text string }{{"prefix", p.prefix}, {"after", p.after}} {
		if len(f.text) > metadata.MaxConfigKey || !utf8.ValidString(f.text) {
			return page{}, invalid("parameter %s has %d bytes or is not UTF-8, allowed are %d bytes of UTF-8", f.name, len(f.text), metadata.MaxConfigKey)
		}
	}
	if text := parameters.Get("limit"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return page{}, invalid("parameter limit is %.50q, want a number", text)
		}
		p.limit = uint32(n)
	}
	var err error
	p.stale, err = flag(r, "stale")
	return p, err
}

// flag reads a parameter that is true, false, or given without a value, which is true.
func flag(r *http.Request, name string) (bool, error) {
	if !r.URL.Query().Has(name) {
		return false, nil
	}
	switch value := r.URL.Query().Get(name); value {
	case "", "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	default:
		return false, invalid("parameter %s is %.50q, want true or false", name, value)
	}
}
