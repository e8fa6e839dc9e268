//go:build !linux && !darwin && !windows

package live

import "time"

// BootClock reports whether this system has a clock that counts sleep; without one a node refuses leases.
const BootClock = false

var processStart = time.Now()

func bootTime() time.Duration { return time.Since(processStart) }
