package postgres

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
)

// Options say which server Start brings up.
type Options struct {
	// Version is the major version, such as 16; 0 is DefaultVersion, or whatever EnvDir chooses.
	Version int
	// Dir holds the data, the certificate and the superuser's password. It is made where missing, and a later Start with
	// the same Dir finds its data again.
	Dir string
	// Host is the address to listen on, 127.0.0.1 unless set. Only loopback addresses are allowed.
	Host string
	// Port to listen on; 0 picks a free one, which Server.Port tells.
	Port int
	// User is the master user: it may create roles and databases, but is no superuser, as in RDS.
	User string
	// Password of User, as it is set when User is created. A later Start leaves the password alone.
	Password string
	// Database is created where missing and owned by User.
	Database string
	// TLS makes the server offer TLS, with a certificate that it signed itself (Server.CertFile) where there is no Authority.
	TLS bool
	// Authority signs the server's certificate, which is for Name and nothing else, as RDS's are. It needs TLS.
	Authority *Authority
	Name      string
	// RequireTLS refuses connections without TLS, as rds.force_ssl does. It needs TLS.
	RequireTLS bool
	// Params are server settings (postgresql.conf), by name.
	Params map[string]string
	// EndWithParent stops the server when the thread that started it ends, as it does with this process. Linux's alone.
	EndWithParent bool
	// Log receives what the server writes; nil drops it.
	Log io.Writer
}

var paramName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// reserved are the settings that Start decides itself.
var reserved = map[string]string{
	"port": "Port", "listen_addresses": "Host", "ssl": "TLS", "ssl_cert_file": "TLS", "ssl_key_file": "TLS",
	"unix_socket_directories": "nothing: it is always a folder of its own", "data_directory": "Dir", "hba_file": "RequireTLS",
}

// check fills in defaults and returns every mistake at once.
func (o *Options) check() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("Dir is missing: name the folder that keeps the data"))
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if ip := net.ParseIP(o.Host); ip == nil || !ip.IsLoopback() {
		errs = append(errs, fmt.Errorf("Host is %q, but only a loopback address such as 127.0.0.1 is allowed", o.Host))
	}
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("Port is %d, but must be 0 (any free one) to 65535", o.Port))
	}
	for name, value := range map[string]string{"User": o.User, "Password": o.Password, "Database": o.Database} {
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is missing", name))
		}
	}
	if o.User == superuser {
		errs = append(errs, fmt.Errorf("User is %q, which is the name of the local superuser: choose another", o.User))
	}
	if o.RequireTLS && !o.TLS {
		errs = append(errs, errors.New("RequireTLS is set without TLS: the server could never be reached"))
	}
	if o.Authority != nil && (!o.TLS || o.Name == "") {
		errs = append(errs, errors.New("Authority is set without TLS and a Name: there is no certificate for it to sign"))
	}
	for name := range o.Params {
		if !paramName.MatchString(name) {
			errs = append(errs, fmt.Errorf("Params has %q, which is no name of a setting", name))
		} else if instead, ok := reserved[name]; ok {
			errs = append(errs, fmt.Errorf("Params has %q, which is set by %s", name, instead))
		}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return errors.Join(errs...)
}
