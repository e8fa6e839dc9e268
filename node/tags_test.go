package node

import (
	"maps"
	"runtime/debug"
	"testing"
)

func TestMemberTags(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  Config
		want map[string]string
	}{
		{"the build's version", Config{}, map[string]string{"version": "v1.2.3"}},
		{"zone and rack", Config{Zone: "a", Rack: "r1", Tags: map[string]string{"disk": "ssd"}},
			map[string]string{"version": "v1.2.3", "zone": "a", "rack": "r1", "disk": "ssd"}},
		{"keys win over tags, an app's version over the build's", Config{Zone: "a", Tags: map[string]string{"zone": "b", "rack": "r2", "version": "app-7"}},
			map[string]string{"version": "app-7", "zone": "a", "rack": "r2"}},
	} {
		if got := tc.cfg.memberTags("v1.2.3"); !maps.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestVersionOfABuild(t *testing.T) {
	own := func(version string) debug.Module { return debug.Module{Path: modulePath, Version: version} }
	dep := own("v0.4.0")
	revision := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}
	for _, tc := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"no build information", nil, "devel"},
		{"a release", &debug.BuildInfo{Main: own("v1.2.3")}, "v1.2.3"},
		{"an app that embeds a node", &debug.BuildInfo{Main: debug.Module{Path: "app", Version: "v9.9.9"}, Deps: []*debug.Module{{Path: "x"}, &dep}}, "v0.4.0"},
		{"a working copy", &debug.BuildInfo{Main: own("(devel)"), Settings: revision}, "devel-0123456789ab"},
		{"an app with a replaced module", &debug.BuildInfo{Main: debug.Module{Path: "app"}, Settings: revision,
			Deps: []*debug.Module{{Path: modulePath, Version: "v0.4.0", Replace: &debug.Module{Path: "../.."}}}}, "devel"},
	} {
		if got := versionOf(tc.info); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
