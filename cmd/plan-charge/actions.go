package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"plan-charge/internal/forge"
)

// actions is what a workflow's run says of itself, in the variables of GitHub Actions. By hand all of it may be missing.
type actions struct {
	Run, Attempt int
	RunURL       string
	output       string // file for what later jobs read
	summary      string // file for what stands on the run's page
}

func fromActions(get func(string) string) actions {
	number := func(key string) int {
		n, _ := strconv.Atoi(get(key))
		return n
	}
	a := actions{Run: number("GITHUB_RUN_NUMBER"), Attempt: number("GITHUB_RUN_ATTEMPT"), output: get("GITHUB_OUTPUT"), summary: get("GITHUB_STEP_SUMMARY")}
	if id := get("GITHUB_RUN_ID"); id != "" {
		a.RunURL = fmt.Sprintf("%s/%s/actions/runs/%s", cmp.Or(get("GITHUB_SERVER_URL"), "https://github.com"), get("GITHUB_REPOSITORY"), id)
	}
	return a
}

// say puts a text on the run's page.
func (a actions) say(markdown string) error { return appendTo(a.summary, markdown+"\n") }

// set hands a value to later jobs.
func (a actions) set(key, value string) error { return appendTo(a.output, key+"="+value+"\n") }

func appendTo(path, text string) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(text)
	return err
}

// forgeFlags are where comments and issues are written, and as whom.
type forgeFlags struct{ repository, api, author string }

func (f *forgeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.repository, "repository", os.Getenv("GITHUB_REPOSITORY"), "OWNER/NAME; GITHUB_REPOSITORY says it too")
	flags.StringVar(&f.api, "api", os.Getenv("GITHUB_API_URL"), "URL of the API; GITHUB_API_URL says it too")
	flags.StringVar(&f.author, "author", "github-actions[bot]", "login that comments and issues are written by: whose GITHUB_TOKEN is")
}

func (f *forgeFlags) client() (*forge.Client, error) {
	// How long to wait before another try is for tests alone.
	pause, _ := time.ParseDuration(os.Getenv("PLAN_CHARGE_PAUSE"))
	return forge.New(forge.Options{API: f.api, Token: os.Getenv("GITHUB_TOKEN"), Repository: f.repository, Author: f.author, Pause: pause})
}
