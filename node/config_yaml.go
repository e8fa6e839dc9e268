package node

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// LoadConfig reads the YAML file at path, lets RIVVEN_… environment variables override single keys,
// fills in the defaults and validates the whole. An empty path takes everything from the environment.
// Every fault is reported at once, as a *ConfigError. The file may have at most 1 MiB.
func LoadConfig(path string) (Config, error) {
	if path == "" {
		return parseConfig("", nil, os.Environ(), systemHost{})
	}
	b, err := readBounded(path)
	if err != nil {
		return Config{}, fmt.Errorf("read config: %w", err)
	}
	return parseConfig(path, b, os.Environ(), systemHost{})
}

// ParseConfig is LoadConfig for bytes at hand: name stands for the file in faults, and of the
// environment only what is passed ("RIVVEN_…=value") counts.
func ParseConfig(name string, b []byte, environ ...string) (Config, error) {
	return parseConfig(name, b, environ, systemHost{})
}

func parseConfig(name string, b []byte, environ []string, h host) (Config, error) {
	p := configParser{
		name:    name,
		host:    h,
		at:      map[string]position{"": {1, 1}},
		failed:  map[string]bool{},
		fromEnv: map[string]string{},
	}
	if name != "" {
		p.file(b)
	}
	p.environment(environ)
	p.cfg.ensureDefaults(h)
	if !p.unreadable {
		p.check()
	}
	slices.SortStableFunc(p.faults, func(a, b *ConfigFault) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	if err := newConfigError(p.faults, p.dropped); err != nil {
		return Config{}, err
	}
	return p.cfg, nil
}

// readBounded reads a file of at most 1 MiB.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b, err := io.ReadAll(io.LimitReader(f, maxConfigFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxConfigFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxConfigFileBytes)
	}
	return b, nil
}

type position struct{ line, column int } // from 1, columns in characters

var afterFile = position{math.MaxInt, 0} // of faults in the environment

// configParser gathers faults while it fills a Config from the file and the environment.
type configParser struct {
	name       string
	lines      []string
	host       host
	cfg        Config
	faults     []*ConfigFault      // at most maxConfigFaults
	dropped    int                 // faults beyond those
	at         map[string]position // keys and sections of the file
	fromEnv    map[string]string   // key → the variable that overrode it
	failed     map[string]bool     // keys that have a fault already
	unreadable bool                // no document to check
}

func (p *configParser) fault(key string, at position, format string, args ...any) {
	p.failed[key] = true
	if len(p.faults) == maxConfigFaults {
		p.dropped++
		return
	}
	f := &ConfigFault{Key: key, Message: fmt.Sprintf(format, args...), at: at}
	if p.name != "" {
		f.Source = fmt.Sprintf("%s:%d:%d", p.name, at.line, at.column)
		if at.line <= len(p.lines) {
			f.Excerpt = excerpt(p.lines[at.line-1], at.line, at.column)
		}
	}
	p.faults = append(p.faults, f)
}

func (p *configParser) file(b []byte) {
	if len(b) > maxConfigFileBytes {
		p.unreadable = true
		p.fault("", position{1, 1}, "the file has %d bytes, at most %d are allowed", len(b), maxConfigFileBytes)
		return
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	p.lines = strings.Split(string(b), "\n")
	if !utf8.Valid(b) {
		p.unreadable = true
		for i, line := range p.lines {
			if !utf8.ValidString(line) {
				p.fault("", position{i + 1, 1}, "the file is not UTF-8")
				return
			}
		}
	}
	var docs []yaml.Node
	if err := yaml.Load(b, &docs, yaml.WithAllDocuments()); err != nil {
		p.unreadable = true
		p.syntax(err)
		return
	}
	switch {
	case len(docs) == 0 || len(docs[0].Content) == 0 || isNull(docs[0].Content[0]):
		p.unreadable = true
		p.fault("", position{1, 1}, "the file is empty: it needs a \"cluster\" section with at least node_id")
	case len(docs) > 1:
		p.fault("", nodePosition(&docs[1]), "a second document starts here: a node has one")
		fallthrough
	default:
		p.document(docs[0].Content[0])
	}
}

func (p *configParser) syntax(err error) {
	at, message := position{1, 1}, err.Error()
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		message = load.Message
		if load.ContextMsg != "" {
			message = load.ContextMsg + ": " + message
		}
		if load.Mark.Line > 0 {
			at = position{load.Mark.Line, max(load.Mark.Column, 1)}
		}
	}
	p.fault("", at, "not YAML: %s", message)
}

func nodePosition(n *yaml.Node) position { return position{max(n.Line, 1), max(n.Column, 1)} }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// document wants a mapping with the one key "cluster".
func (p *configParser) document(root *yaml.Node) {
	cluster := (*yaml.Node)(nil)
	p.mapping("", root, func(key, value *yaml.Node) {
		if key.Value == "cluster" {
			cluster = value
			p.at[""] = nodePosition(key)
			return
		}
		p.unknownTop(key)
	})
	switch {
	case cluster != nil:
		p.section("", cluster)
		p.unreadable = p.unreadable || target(cluster).Kind != yaml.MappingNode && !isNull(target(cluster))
	case len(p.faults) == 0:
		p.fault("", nodePosition(root), "there is no \"cluster\" section")
		fallthrough
	default:
		p.unreadable = true
	}
}

func (p *configParser) unknownTop(key *yaml.Node) {
	hint := ""
	if near := closest(key.Value, []string{"cluster"}); near != "" {
		hint = `; did you mean "cluster"?`
		p.unreadable = true // whatever is below it is missing
	} else if slices.Contains(childKeys(""), key.Value) {
		hint = `; it belongs under "cluster"`
		p.unreadable = true
	}
	p.fault("", nodePosition(key), "unknown key %s%s", shortQuote(key.Value), hint)
}

// mapping calls visit for every key of n but those that are given twice or are no plain text.
func (p *configParser) mapping(section string, n *yaml.Node, visit func(key, value *yaml.Node)) {
	at, n := nodePosition(n), target(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fault(cmp.Or(section, "cluster"), at, "is %s, not a section of keys", describe(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			p.fault(section, nodePosition(key), "a key is %s, not text", describe(key))
		case seen[key.Value] > 0:
			p.fault(section, nodePosition(key), "key %s is given twice, first on line %d", shortQuote(key.Value), seen[key.Value])
		default:
			seen[key.Value] = key.Line
			visit(key, value)
		}
	}
}

func (p *configParser) section(section string, n *yaml.Node) {
	p.mapping(section, n, func(key, value *yaml.Node) {
		path := key.Value
		if section != "" {
			path = section + "." + path
		}
		s, known := settingOf(path)
		switch {
		case known:
			p.at[path] = nodePosition(value)
			p.value(s, value)
		case isSection(path):
			p.at[path] = nodePosition(key)
			p.section(path, value)
		default:
			p.unknown(section, key)
		}
	})
}

func (p *configParser) unknown(section string, key *yaml.Node) {
	place := "cluster"
	if section != "" {
		place = "cluster." + section
	}
	hint := ""
	if near := closest(key.Value, childKeys(section)); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
		// The key that was meant counts as faulty, so that it is not called missing as well.
		p.failed[strings.TrimPrefix(section+"."+near, ".")] = true
	} else if home, ok := homeOf(key.Value); ok {
		hint = fmt.Sprintf("; it belongs under %q", home)
	}
	p.fault("", nodePosition(key), "unknown key %s in %q%s", shortQuote(key.Value), place, hint)
}

// homeOf is the one section that has the key.
func homeOf(key string) (string, bool) {
	home, found := "", 0
	for _, s := range settings {
		section, name := "cluster", s.key
		if dot := strings.LastIndexByte(s.key, '.'); dot >= 0 {
			section, name = "cluster."+s.key[:dot], s.key[dot+1:]
		}
		if name == key {
			home = section
			found++
		}
	}
	return home, found == 1
}

// target follows an alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if isNull(n) {
			return "empty"
		}
		switch tag := n.ShortTag(); tag {
		case "!!str":
			return "the text " + shortQuote(n.Value)
		case "!!int", "!!float":
			return "the number " + shortQuote(n.Value)
		case "!!bool":
			return "the boolean " + shortQuote(n.Value)
		default:
			return fmt.Sprintf("%s of type %s", shortQuote(n.Value), shortQuote(tag))
		}
	default:
		return "an alias"
	}
}

func (p *configParser) value(s setting, n *yaml.Node) {
	at, n := nodePosition(n), target(n)
	switch field := s.field(&p.cfg).(type) {
	case *[]string:
		p.list(s.key, field, at, n)
	case *map[string]string:
		values := map[string]string{}
		p.mapping(s.key, n, func(key, value *yaml.Node) {
			if text, ok := p.text(s.key, nodePosition(value), target(value)); ok {
				values[key.Value] = text
			}
		})
		if len(values) > 0 {
			*field = values
		}
	case *string:
		if text, ok := p.text(s.key, at, n); ok {
			*field = text
		}
	default:
		auto := s.key == "node_id" && n.Kind == yaml.ScalarNode && n.Value == "auto"
		if !auto && (n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" && n.ShortTag() != "!!float") {
			hint := ""
			if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && decimal.MatchString(n.Value) {
				hint = ": remove the quotes"
			}
			p.fault(s.key, at, "is %s, not a number%s", describe(n), hint)
			return
		}
		if err := setScalar(field, n.Value, p.host); err != nil {
			p.fault(s.key, at, "%v", err)
		}
	}
}

func (p *configParser) list(key string, field *[]string, at position, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.fault(key, at, "is %s, not a list: write each entry on a line of its own after \"- \"", describe(n))
		return
	}
	var values []string
	for i, item := range n.Content {
		path := fmt.Sprintf("%s[%d]", key, i)
		p.at[path] = nodePosition(item)
		text, _ := p.text(path, nodePosition(item), target(item)) // a faulty one keeps its place
		values = append(values, text)
	}
	*field = values
}

func (p *configParser) text(key string, at position, n *yaml.Node) (string, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return n.Value, true
	}
	hint := ""
	switch {
	case isNull(n):
		hint = ": remove the key, or give it a value"
	case n.Kind == yaml.ScalarNode:
		hint = ": put it in quotes"
	}
	p.fault(key, at, "is %s, not text%s", describe(n), hint)
	return "", false
}

// check adds what Validate finds, at the place in the file or the variable that the value came from.
func (p *configParser) check() {
	for _, f := range p.cfg.faults() {
		if slices.ContainsFunc(f.keys, p.isFailed) {
			continue
		}
		key := f.keys[0]
		base, _, _ := strings.Cut(key, "[")
		if variable, ok := p.fromEnv[base]; ok {
			p.envFault(key, variable, "%s", f.message)
			continue
		}
		p.fault(key, p.placeOf(key), "%s", f.message)
	}
}

func (p *configParser) isFailed(key string) bool {
	base, _, _ := strings.Cut(key, "[")
	return p.failed[key] || p.failed[base]
}

// placeOf is where a key stands in the file, or the innermost section around it that does.
func (p *configParser) placeOf(key string) position {
	for {
		if at, ok := p.at[key]; ok {
			return at
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
}
