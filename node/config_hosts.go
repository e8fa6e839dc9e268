package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	maxConfigFileBytes = 1 << 20
	hostLookupTimeout  = 2 * time.Second
)

// Hosts is a table of host names in the format of /etc/hosts. The zero value is an empty table. It is
// immutable once loaded and safe for concurrent use.
type Hosts struct {
	addrs map[string][]netip.Addr
}

// LoadHosts reads the hosts file at path; an empty path is an empty table. The file may have at most
// 1 MiB; a line that is neither blank, comment nor "address name…" is an error that names it.
func LoadHosts(path string) (Hosts, error) {
	if path == "" {
		return Hosts{}, nil
	}
	b, err := readBounded(path)
	if err != nil {
		return Hosts{}, fmt.Errorf("read hosts file: %w", err)
	}
	hosts := Hosts{addrs: map[string][]netip.Addr{}}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxConfigFileBytes)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil || len(fields) < 2 {
			return Hosts{}, fmt.Errorf("%s:%d: %s is not \"address name…\"", path, n, shortQuote(lines.Text()))
		}
		for _, name := range fields[1:] {
			name = hostKey(name)
			if !slices.Contains(hosts.addrs[name], addr) {
				hosts.addrs[name] = append(hosts.addrs[name], addr)
			}
		}
	}
	return hosts, lines.Err()
}

// Addrs returns the addresses of name in the order of the file, none where it is not in the table. Names
// are compared without regard to case and to a dot at the end.
func (h Hosts) Addrs(name string) []netip.Addr { return slices.Clone(h.addrs[hostKey(name)]) }

// Lookup returns the addresses of name: itself where it is an address, those of the table where it has
// it, else those of the system's resolver, which ctx bounds.
func (h Hosts) Lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	if addrs := h.Addrs(name); len(addrs) > 0 {
		return addrs, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

func hostKey(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// host is what the defaults ask of the machine.
type host interface {
	Name() (string, error)
	Lookup(name string) []netip.Addr
	InterfaceAddrs() []netip.Addr
}

type systemHost struct{}

func (systemHost) Name() (string, error) { return os.Hostname() }

func (systemHost) Lookup(name string) []netip.Addr {
	ctx, cancel := context.WithTimeout(context.Background(), hostLookupTimeout)
	defer cancel()
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", name) // an unknown name has no addresses
	return addrs
}

func (systemHost) InterfaceAddrs() []netip.Addr {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p.Addr())
			}
		}
	}
	return out
}

// noHost knows nothing, for defaults that must not depend on the machine.
type noHost struct{}

func (noHost) Name() (string, error)        { return "", errors.New("no host") }
func (noHost) Lookup(string) []netip.Addr   { return nil }
func (noHost) InterfaceAddrs() []netip.Addr { return nil }
