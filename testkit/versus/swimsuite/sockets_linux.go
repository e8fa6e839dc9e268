package swimsuite

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// inOwnNetwork marks a process that runs in a network namespace of its own.
const inOwnNetwork = "VERSUS_SWIM_OWN_NETWORK"

// ownNetwork puts the process into a network namespace of its own, so that the kernel's count of datagrams is this job's alone:
// it runs the program once more, and returns in that one. It needs the right to make namespaces (root, or CAP_SYS_ADMIN).
func ownNetwork() error {
	if os.Getenv(inOwnNetwork) != "" {
		return raiseLoopback()
	}
	runtime.LockOSThread() // the namespace is this thread's, and the program that follows begins on it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a network namespace to count datagrams in: %w; run the cases on sockets as root", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return fmt.Errorf("running this program again: %w", unix.Exec(self, os.Args, append(os.Environ(), inOwnNetwork+"=1")))
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	lo, err := unix.NewIfreq("lo")
	if err == nil {
		lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
	}
	return errors.Join(err, unix.Close(fd))
}

// datagramsSent is the kernel's count of UDP datagrams, of this namespace.
func datagramsSent() (uint64, error) {
	b, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, n := range names {
			if n == "OutDatagrams" && i < len(fields) {
				return strconv.ParseUint(fields[i], 10, 64)
			}
		}
	}
	return 0, errors.New("/proc/self/net/snmp has no count of UDP datagrams")
}

// cpuTime is the user and system time of this process.
func cpuTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
