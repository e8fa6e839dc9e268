package node

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const envPrefix = "RIVVEN_"

var variableName = regexp.MustCompile(`^[A-Z0-9_]{1,64}$`)

// envName is the variable that overrides a key: raft.peers is RIVVEN_RAFT_PEERS.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// environment applies the variables that name a key; lists are separated by commas, tags are
// "name=value" pairs. Variables that resemble none are left alone: Kubernetes makes some of its own
// for every service (RIVVEN_SERVICE_HOST, …).
func (p *configParser) environment(environ []string) {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = envName(s.key)
	}
	environ = slices.Clone(environ)
	slices.Sort(environ)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		i := slices.Index(names, name)
		if i < 0 {
			if near := closest(name, names); near != "" && editDistance(name, near) <= 2 && variableName.MatchString(name) {
				p.envFault("", name, "unknown variable; did you mean %s?", near)
			}
			continue
		}
		p.override(settings[i], name, value)
	}
}

func (p *configParser) envFault(key, variable, format string, args ...any) {
	p.failed[key] = true
	if len(p.faults) == maxConfigFaults {
		p.dropped++
		return
	}
	p.faults = append(p.faults, &ConfigFault{Key: key, Source: variable, Message: fmt.Sprintf(format, args...), at: afterFile})
}

func (p *configParser) override(s setting, variable, value string) {
	if value == "" {
		return
	}
	p.fromEnv[s.key] = variable
	switch field := s.field(&p.cfg).(type) {
	case *[]string:
		*field = splitList(value)
	case *map[string]string:
		tags := map[string]string{}
		for _, pair := range splitList(value) {
			k, v, ok := strings.Cut(pair, "=")
			if !ok {
				p.envFault(s.key, variable, "%s is not name=value", shortQuote(pair))
				continue
			}
			tags[k] = v
		}
		*field = nil
		if len(tags) > 0 {
			*field = tags
		}
	default:
		if err := setScalar(field, value, p.host); err != nil {
			p.envFault(s.key, variable, "%v", err)
		}
	}
}

func splitList(s string) []string {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
