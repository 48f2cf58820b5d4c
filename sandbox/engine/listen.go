package engine

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Listening returns the TCP addresses that the processes of a group listen on, as far as the system tells (Linux does).
func Listening(group int) []netip.AddrPort {
	inodes, member := map[string]bool{}, ""
	processes, _ := filepath.Glob("/proc/[0-9]*") // the pattern is a good one
	for _, dir := range processes {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if of, err := syscall.Getpgid(pid); err != nil || of != group {
			continue
		}
		member = dir
		descriptors, _ := filepath.Glob(dir + "/fd/*")
		for _, fd := range descriptors {
			if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
				inodes[strings.Trim(target, "socket:[]")] = true
			}
		}
	}
	var found []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile(filepath.Join(member, "net", table)) // of its own network
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			const local, state, inode, listen = 1, 3, 9, "0A"
			fields := strings.Fields(line)
			if len(fields) <= inode || fields[state] != listen || !inodes[fields[inode]] {
				continue
			}
			if address, ok := parseAddress(fields[local]); ok {
				found = append(found, address)
			}
		}
	}
	slices.SortFunc(found, func(a, b netip.AddrPort) int {
		return cmp.Or(cmp.Compare(a.Port(), b.Port()), a.Addr().Compare(b.Addr()))
	})
	return slices.Compact(found)
}

// parseAddress reads an address as the kernel writes it: each four bytes of the address backwards, then the port.
func parseAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	bytes, err := hex.DecodeString(host)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(bytes)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(bytes, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}

// listening tells which addresses a container listens on. Docker has no such call.
func (e *Engine) listening(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	s := c.snapshot()
	if !s.Running || s.PID == 0 {
		return failure{http.StatusConflict, fmt.Sprintf("Container %s is not running", s.ID)}
	}
	return reply(w, 200, append([]netip.AddrPort{}, Listening(s.PID)...))
}
