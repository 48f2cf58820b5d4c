package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"plan-charge/sandbox/box"
	"plan-charge/sandbox/image"
)

// imageCommand adds, lists and removes images of one's own. It starts nothing.
func imageCommand(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	b, err := box.Open()
	if err != nil {
		return err
	}
	store := image.Store{Dir: b.File("images")}
	switch command, rest := args[0], args[1:]; {
	case command == "add" && len(rest) > 0:
		return addImage(ctx, store, rest[0], rest[1:])
	case command == "list" && len(rest) == 0:
		return listImages(os.Stdout, store)
	case command == "remove" && len(rest) == 1:
		return store.Remove(rest[0])
	}
	return errUsage
}

func addImage(ctx context.Context, store image.Store, reference string, args []string) error {
	flags := flag.NewFlagSet("image add", flag.ContinueOnError)
	flags.Usage = func() {}
	request := image.Request{Reference: reference}
	flags.StringVar(&request.Folder, "dir", "", "")
	flags.StringVar(&request.Workdir, "workdir", image.Workdir, "")
	flags.IntVar(&request.Port, "port", 0, "")
	flags.BoolVar(&request.Replace, "force", false, "")
	if flags.Parse(args) != nil || request.Folder == "" {
		return errUsage
	}
	request.Command = flags.Args()
	added, err := store.Add(ctx, os.Stdout, request)
	if err != nil {
		return err
	}
	fmt.Printf("image %s runs %s in a copy of %s; deploy it with: pulumi config set plan-charge:image %s\n",
		added.Reference, strings.Join(added.Command, " "), request.Folder, added.Reference)
	return nil
}

func listImages(w io.Writer, store image.Store) error {
	all, err := store.List()
	for _, added := range all {
		state := added.Dir
		if !added.Present() {
			state += " (gone from the cache: add it again)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", added.Reference, strings.Join(added.Command, " "), state)
	}
	return err
}
