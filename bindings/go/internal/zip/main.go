// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

// Zip puts all files below a directory into a zip file: a module for a proxy that is a directory.
//
//	zip FILE DIRECTORY
package main

import (
	"archive/zip"
	"io/fs"
	"log"
	"os"
)

// Files only: the go command takes no directories.
func add(w *zip.Writer, files fs.FS) error {
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		to, err := w.Create(name)
		if err == nil {
			_, err = to.Write(b)
		}
		return err
	})
}

func main() {
	f, err := os.Create(os.Args[1])
	if err == nil {
		w := zip.NewWriter(f)
		if err = add(w, os.DirFS(os.Args[2])); err == nil {
			err = w.Close()
		}
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		log.Fatal(err)
	}
}
