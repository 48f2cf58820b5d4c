package testbed

import "testing"

func TestNoTwoSandboxesGetTheSamePorts(t *testing.T) {
	first, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	second, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Errorf("both got %+v", first)
	}
}

func TestGeneratedFindsWordsOnly(t *testing.T) {
	state := `{"resources": [
		{"outputs": {"result": {"4dabf18193072939515e22adb298388d": "x", "plaintext": "\"abcdEFGH12345678\""}}},
		{"outputs": [{"plaintext": "\"too short\""}, {"plaintext": "{\"a\": 1}"}, {"plaintext": "\"abcdEFGH12345678\""}]}]}`
	got, err := generated([]byte(state))
	if err != nil || len(got) != 1 || got[0] != "abcdEFGH12345678" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := generated([]byte("{")); err == nil {
		t.Error("a state that is cut off was accepted")
	}
	if found := (Secrets{"the key": "a/b+c"}).In("postgresql://u:a%2Fb%2Bc@host"); len(found) != 1 {
		t.Errorf("found %q in a URL", found)
	}
}
