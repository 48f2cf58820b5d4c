package session

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
)

// listening finds the socket that listens on a loopback port: whose it is, and its number in the system. Where the system
// does not tell, neither is known.
func listening(port int) (uid, inode string) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return "", ""
	}
	return listens(string(table), port)
}

func listens(table string, port int) (uid, inode string) {
	for line := range strings.Lines(table) {
		// sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		address, at, _ := strings.Cut(fields[1], ":")
		if at == fmt.Sprintf("%04X", port) && (address == "0100007F" || address == "00000000") {
			return fields[7], fields[9]
		}
	}
	return "", ""
}

// holder names the process that listens on a port, as far as the system tells.
func holder(port int) string {
	uid, inode := listening(port)
	if uid == "" {
		return fmt.Sprintf("another program ('ss -ltnp sport = :%d' names it)", port)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // others' are not shown
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == "socket:["+inode+"]" {
			process := strings.Split(link, "/")[2]
			name, _ := os.ReadFile("/proc/" + process + "/comm")
			return fmt.Sprintf("process %s (%s)", process, strings.TrimSpace(string(name)))
		}
	}
	if u, err := user.LookupId(uid); err == nil {
		return "a process of user " + u.Username
	}
	return "a process of user " + uid
}

// safe tells whether what listens on a loopback port is this user's or root's. Where that is not known, it is.
func safe(port int) bool {
	uid, _ := listening(port)
	return uid == "" || uid == "0" || uid == fmt.Sprint(os.Getuid())
}

// loopback is the address of a port on this machine.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(port)) }

func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
