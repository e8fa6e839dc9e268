package bootstrap

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// A name may stand for several nodes, as that of a Kubernetes headless service does: all its addresses are configured peers then. One that
// names a node (id@host:port) stands for that node alone.

// lookUpEvery is how often a name is looked up while the node is blank.
const lookUpEvery = 2 * time.Second

// lookUpNames asks what addresses the configured names have now.
func (b *bootstrap) lookUpNames(ctx actor.Context) {
	now := actors.EnvOf(ctx).Boot()
	for _, name := range b.view.due(now) {
		actors.Ask(ctx, b.cfg.Remote, &actors.Lookup{Address: name}, askTimeout, func(res any, err error) {
			answer, _ := res.(*actors.LookedUp)
			switch {
			case b.ready:
			case err != nil || answer == nil || answer.Err != nil:
				// What it stood for before still counts; the question for who lives there says what is wrong.
				b.log.Debug("name not looked up; it is tried again", zap.String("name", name), zap.Error(err))
			default:
				for _, address := range b.view.expand(name, answer.Addresses) {
					b.resolve(ctx, address)
				}
			}
		})
	}
}

// due are the names to look up now.
func (v *view) due(now time.Duration) []string {
	var out []string
	for _, name := range v.configured {
		if at, asked := v.lookedUp[name]; strings.Contains(name, "@") || asked && now-at < lookUpEvery {
			continue
		}
		v.lookedUp[name] = now
		out = append(out, name)
	}
	return out
}

// expand takes the addresses of a name, and returns those that are new. One address, or none, leaves the name as it is.
func (v *view) expand(name string, addresses []string) []string {
	before := v.wanted()
	delete(v.behind, name)
	if len(addresses) > 1 {
		v.behind[name] = slices.Sorted(slices.Values(addresses))
		delete(v.seen, name)
	}
	return slices.DeleteFunc(v.wanted(), func(a string) bool { return slices.Contains(before, a) })
}

// wanted are the configured addresses, and those behind names: sorted, without this node's own main one, at most maxPeers.
func (v *view) wanted() []string {
	var out []string
	for _, name := range v.configured {
		if several := v.behind[name]; several != nil {
			out = append(out, several...)
		} else {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	out = slices.DeleteFunc(slices.Compact(out), func(a string) bool { return a == v.self.GetAddress() })
	return out[:min(len(out), maxPeers)]
}

// missingBehind names each address of a name at which nobody answers. A node with an address of each family answers at either: where all
// of one family do, an IPv6 address, say, that leads nowhere keeps nobody waiting.
func (v *view) missingBehind(name string, now time.Duration) []string {
	wanted := v.wanted()
	var families [2][]string
	for _, address := range v.behind[name] {
		if !slices.Contains(wanted, address) {
			continue
		}
		family := 0
		host, _, _ := net.SplitHostPort(address)
		if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().Is6() {
			family = 1
		}
		families[family] = append(families[family], address)
	}
	var out []string
	for _, family := range families {
		silent := v.silent(family, now)
		if len(family) > 0 && len(silent) == 0 {
			return nil
		}
		out = append(out, silent...)
	}
	return out
}
