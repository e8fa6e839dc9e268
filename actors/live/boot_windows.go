package live

import (
	"time"

	"golang.org/x/sys/windows"
)

// BootClock reports whether this system has a clock that counts sleep; without one a node refuses leases.
const BootClock = true

// GetTickCount64 counts sleep and hibernation, in steps of 10 to 16 ms.
func bootTime() time.Duration { return windows.DurationSinceBoot() }
