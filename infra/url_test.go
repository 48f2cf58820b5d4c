package infra

import (
	"net/url"
	"strings"
	"testing"
)

func TestDatabaseURL(t *testing.T) {
	got := DatabaseURL("plan_charge_app", "abc123", "db.example.com", 5432, "plan_charge")
	if want := "postgresql://plan_charge_app:abc123@db.example.com:5432/plan_charge?sslmode=require"; got != want {
		t.Errorf("%s\n%s", got, want)
	}
}

// Every special character must come back from every client's way to decode:
// libpq and SQLAlchemy decode percent signs, some also read + as a space.
func TestDatabaseURLQuotesEveryCharacter(t *testing.T) {
	for r := rune(' '); r <= '~'; r++ {
		password := "a" + string(r) + "b"
		text := DatabaseURL("app", password, "host", 5432, "db")
		parsed, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", r, err)
		}
		if got, _ := parsed.User.Password(); got != password {
			t.Errorf("%q comes back as %q", password, got)
		}
		written, _, _ := strings.Cut(strings.TrimPrefix(text, "postgresql://app:"), "@host")
		if loose, err := url.QueryUnescape(written); err != nil || loose != password {
			t.Errorf("%q read with + as space: %q %v", password, loose, err)
		}
	}
}

func FuzzDatabaseURL(f *testing.F) {
	f.Add("app", "p@ss:w/rd?#[]%+ &=")
	f.Add("ü", "%00%zz\x00\xff")
	f.Fuzz(func(t *testing.T, user, password string) {
		parsed, err := url.Parse(DatabaseURL(user, password, "db.example.com", 5432, "plan_charge"))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := parsed.User.Password(); got != password || parsed.User.Username() != user {
			t.Errorf("%q %q came back as %q %q", user, password, parsed.User.Username(), got)
		}
		if parsed.Host != "db.example.com:5432" || parsed.Path != "/plan_charge" || parsed.RawQuery != "sslmode=require" {
			t.Errorf("the password changed where the URL leads: %s", parsed.Redacted())
		}
	})
}
