package node

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

const maxPeerAddresses = 1024

var hostNamePattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?$`)

// PeerAddress is where another node is reached, and its number where the configuration gives it.
type PeerAddress struct {
	ID   uint64 // 0 where it is not given; who lives there is known after Hello
	Addr string // host:port
}

// ParsePeerAddress reads "host:port" or "id@host:port". The host is a name or an IP address (IPv6 in
// brackets), the port 1 to 65535, the id a decimal number above 0.
func ParsePeerAddress(s string) (PeerAddress, error) {
	var p PeerAddress
	id, addr, ok := strings.Cut(s, "@")
	if !ok {
		addr = s
	} else if n, err := strconv.ParseUint(id, 10, 64); err != nil || n == 0 {
		return p, fmt.Errorf("%s: the node id before '@' must be a number above 0", shortQuote(s))
	} else {
		p.ID = n
	}
	if err := checkAddress(addr, dialable); err != nil {
		return PeerAddress{}, err
	}
	p.Addr = addr
	return p, nil
}

func checkAdvertise(advertise, bind string) error {
	if err := checkAddress(advertise, announced); err != nil {
		return err
	}
	if portOf(advertise) == 0 && portOf(bind) != 0 {
		return fmt.Errorf("%s has port 0, which no node can dial", shortQuote(advertise))
	}
	return nil
}

func checkPeers(k *checker, key string, peers []string) {
	if len(peers) > maxPeerAddresses {
		k.fault(key, "has %d entries, at most %d are allowed", len(peers), maxPeerAddresses)
		return
	}
	addrs, ids := map[string]int{}, map[uint64]int{}
	for i, s := range peers {
		item := fmt.Sprintf("%s[%d]", key, i)
		p, err := ParsePeerAddress(s)
		if err != nil {
			k.fault(item, "%v", err)
			continue
		}
		if first, ok := addrs[strings.ToLower(p.Addr)]; ok {
			k.fault(item, "%q is in the list twice, at %d and %d", s, first, i)
			continue
		}
		addrs[strings.ToLower(p.Addr)] = i
		if first, ok := ids[p.ID]; ok && p.ID != 0 {
			k.fault(item, "%q has the node id of %q: every node has its own", s, peers[first])
			continue
		}
		ids[p.ID] = i
	}
}

type addressUse int

const (
	listenable addressUse = iota // the host may be empty or unspecified, the port 0
	announced                    // the port may be 0, taken from the socket
	dialable
)

func checkAddress(s string, use addressUse) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%s is not host:port (IPv6 as [address]:port)", shortQuote(s))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port != strconv.FormatUint(n, 10) {
		return fmt.Errorf("%s has a port that is not a number from 1 to 65535", shortQuote(s))
	}
	if n == 0 && use == dialable {
		return fmt.Errorf("%s has port 0, which no node can dial", shortQuote(s))
	}
	if use != listenable && unspecifiedHost(host) {
		return fmt.Errorf("%s names no host that another node could dial", shortQuote(s))
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !hostNamePattern.MatchString(host) {
		return fmt.Errorf("%s has a host that is neither a name nor an IP address", shortQuote(s))
	}
	return nil
}

func loopbackAddress(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// portOf is 0 for an address that checkAddress refuses.
func portOf(addr string) uint16 {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

func unspecifiedHost(h string) bool {
	if h == "" {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.IsUnspecified()
}
