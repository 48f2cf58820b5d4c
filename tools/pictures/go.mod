module plan-charge/tools/pictures

go 1.26.6

require github.com/yuin/goldmark v1.7.17
