package runner

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// busyFor is how long the processes of the machine are watched before a run.
const busyFor = 500 * time.Millisecond

func printHead(w io.Writer, s Suite, o Options) {
	_, _ = fmt.Fprintf(w, "suite %s, %s\n", s.Name, time.Now().UTC().Format(time.RFC3339))
	_, _ = fmt.Fprintf(w, "machine: %s\n", machine())
	_, _ = fmt.Fprintf(w, "load before: %s; most CPU over %v: %s\n", load(), busyFor, busy(busyFor))
	_, _ = fmt.Fprintf(w, "%d rounds of %v, systems in turn within a round, medians\n", max(o.Rounds, roundsMin), o.For)
	versions := moduleVersions()
	for _, system := range s.Systems {
		if !selected(o.Systems, system.Name, equal) {
			continue
		}
		var modules []string
		for _, m := range system.Modules {
			modules = append(modules, m+" "+cmp.Or(versions[m], "(version unknown)"))
		}
		_, _ = fmt.Fprintf(w, "%s: %s\n    %s\n", system.Name, cmp.Or(strings.Join(modules, ", "), "standard library"), system.Settings)
	}
	_, _ = fmt.Fprintln(w)
}

func printTail(w io.Writer, took time.Duration) {
	_, _ = fmt.Fprintf(w, "took %v; load after: %s\n", took.Round(time.Second), load())
}

func machine() string {
	parts := []string{runtime.GOOS + "/" + runtime.GOARCH}
	if model := procField("/proc/cpuinfo", "model name"); model != "" {
		parts = append(parts, model)
	}
	parts = append(parts, fmt.Sprintf("%d CPUs, GOMAXPROCS %d", runtime.NumCPU(), runtime.GOMAXPROCS(0)))
	if memory := procField("/proc/meminfo", "MemTotal"); memory != "" {
		parts = append(parts, memory+" of memory")
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		parts = append(parts, "kernel "+strings.TrimSpace(string(release)))
	}
	return strings.Join(append(parts, runtime.Version()), ", ")
}

// procField finds "name : value" in a file of /proc.
func procField(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load is the load average of 1, 5 and 15 minutes.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown on this system"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// busy names the other processes that took most CPU while it watched.
func busy(d time.Duration) string {
	before := processTimes()
	time.Sleep(d)
	type entry struct {
		name  string
		ticks uint64
	}
	var entries []entry
	for pid, now := range processTimes() {
		if was, ok := before[pid]; ok && now.ticks > was.ticks && pid != os.Getpid() {
			entries = append(entries, entry{now.name, now.ticks - was.ticks})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.ticks, a.ticks), cmp.Compare(a.name, b.name))
	})
	var parts []string
	for _, e := range entries[:min(len(entries), 5)] {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", e.name, float64(e.ticks)/d.Seconds())) // a tick is 10 ms
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}

type processTime struct {
	name  string
	ticks uint64 // user and system time
}

func processTimes() map[int]processTime {
	times := make(map[int]processTime)
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if t, ok := parseStat(stat); ok {
			times[pid] = t
		}
	}
	return times
}

// parseStat reads a line of /proc/<pid>/stat; the name in it may hold anything, also parentheses.
func parseStat(stat []byte) (processTime, bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return processTime{}, false
	}
	fields := strings.Fields(string(stat[end+1:]))
	const user, system = 11, 12
	if len(fields) <= system {
		return processTime{}, false
	}
	u, err1 := strconv.ParseUint(fields[user], 10, 64)
	s, err2 := strconv.ParseUint(fields[system], 10, 64)
	return processTime{name: string(stat[open+1 : end]), ticks: u + s}, err1 == nil && err2 == nil
}

func moduleVersions() map[string]string {
	versions := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, m := range info.Deps {
		version := m.Version
		if m.Replace != nil {
			version = "of this tree"
		}
		versions[m.Path] = version
	}
	return versions
}
