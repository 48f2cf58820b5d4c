package infra

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// DatabaseURL builds the URL that clients connect with. Everything but
// letters, digits and -._~ is percent-encoded: clients differ in which other
// characters they leave alone ("+" is a space for some). The server is not verified: that takes a file of certificates in the
// application's image. It refuses plain connections.
func DatabaseURL(user, password, address string, port int, database string) string {
	return "postgresql://" + percent(user) + ":" + percent(password) + "@" +
		net.JoinHostPort(address, strconv.Itoa(port)) + "/" + percent(database) + "?sslmode=require"
}

func percent(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
