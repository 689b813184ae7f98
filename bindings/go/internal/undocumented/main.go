// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later

// Undocumented prints the exported items of the packages in the directories that it is given which nothing is said about, and fails if there are any. A
// constant or variable may have its text with its group, fields have that of their struct, a single method that of its interface.
package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strings"
)

var items, missing int

func item(text, kind, name string) {
	items++
	if strings.TrimSpace(text) == "" {
		missing++
		fmt.Println(kind, name)
	}
}

func values(kind string, all []*doc.Value) {
	for _, v := range all {
		for _, spec := range v.Decl.Specs {
			s := spec.(*ast.ValueSpec)
			for _, name := range s.Names {
				if name.IsExported() {
					item(v.Doc+s.Doc.Text()+s.Comment.Text(), kind, name.Name)
				}
			}
		}
	}
}

func functions(all []*doc.Func) {
	for _, f := range all {
		name := f.Name
		if f.Recv != "" {
			name = "(" + f.Recv + ")." + name
		}
		item(f.Doc, "func", name)
	}
}

func methods(t *doc.Type) {
	for _, spec := range t.Decl.Specs {
		if i, ok := spec.(*ast.TypeSpec).Type.(*ast.InterfaceType); ok && len(i.Methods.List) > 1 {
			for _, m := range i.Methods.List {
				for _, name := range m.Names {
					item(m.Doc.Text()+m.Comment.Text(), "method", t.Name+"."+name.Name)
				}
			}
		}
	}
}

func main() {
	for _, dir := range os.Args[1:] {
		packages, err := parser.ParseDir(token.NewFileSet(), dir, func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") },
			parser.ParseComments)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		for name, p := range packages {
			d := doc.New(p, dir, 0)
			item(d.Doc, "package", name)
			values("const", d.Consts)
			values("var", d.Vars)
			functions(d.Funcs)
			for _, t := range d.Types {
				item(t.Doc, "type", t.Name)
				values("const", t.Consts)
				values("var", t.Vars)
				functions(t.Funcs)
				functions(t.Methods)
				methods(t)
			}
		}
	}
	fmt.Printf("%d exported items, %d of them undocumented\n", items, missing)
	if missing > 0 || items == 0 {
		os.Exit(1)
	}
}
