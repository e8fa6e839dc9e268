package node

import (
	"fmt"
	"io"
	"strings"
)

// PrintDefaults writes a YAML file with every key, what it is for and its default. Keys whose default
// is nothing, or depends on the host, are commented out. With a node_id filled in, the file loads.
func PrintDefaults(w io.Writer) error {
	var c Config
	c.ensureDefaults(noHost{})
	return printConfig(w, func(s setting) string {
		if s.sample == "" {
			return fieldText(s.field(&c))
		}
		return ""
	}, true)
}

// PrintConfig writes c as a YAML file that loads as c, without the keys that are unset.
func PrintConfig(w io.Writer, c Config) error {
	return printConfig(w, func(s setting) string { return fieldText(s.field(&c)) }, false)
}

func printConfig(w io.Writer, text func(setting) string, documented bool) error {
	var b strings.Builder
	b.WriteString("cluster:\n")
	section, indent := "", "  "
	for _, s := range settings {
		value := text(s)
		if value == "" && !documented {
			continue
		}
		name := s.key
		if before, after, ok := strings.Cut(s.key, "."); ok {
			name = after
			if before != section {
				section, indent = before, "    "
				if documented {
					b.WriteByte('\n')
				}
				fmt.Fprintf(&b, "  %s:\n", section)
			}
		}
		if documented {
			for line := range strings.SplitSeq(s.doc, "\n") {
				fmt.Fprintf(&b, "%s# %s\n", indent, line)
			}
		}
		if value != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, value)
		} else {
			fmt.Fprintf(&b, "%s# %s: %s\n", indent, name, s.sample)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
