# SPDX-License-Identifier: BSD-2-Clause
# Run by cpack between the installation and the packages, in a folder that has one for each component: what is done to the
# files of any Debian package, and what the packages depend on. cpack could ask dpkg-shlibdeps itself, but then it writes
# maintainer scripts that call ldconfig, where Debian's have a trigger.
# (It is run for the source archive too.)
if(NOT CPACK_GENERATOR STREQUAL DEB)
  return()
endif()

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(stage "${CPACK_TEMPORARY_INSTALL_DIRECTORY}")
set(control "${CPACK_TOPLEVEL_DIRECTORY}/control") # files for the packages' control archives
set(version "${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")
set(library "${CPACK_DEBIAN_LIBRARY_PACKAGE_NAME}")
file(GLOB texts "${stage}/*/usr/share/man/man*/*" "${stage}/*/usr/share/doc/*/changelog.Debian")
file(GLOB_RECURSE archives "${stage}/development/*.a")
file(GLOB_RECURSE shared "${stage}/library/*.so.${CPACK_PACKAGE_VERSION}")
file(GLOB programs "${stage}/tools/usr/bin/*")

run(gzip --best --no-name --force ${texts})
set(unneeded --remove-section=.comment --remove-section=.note)
run(strip --strip-unneeded ${unneeded} ${shared} ${programs})
run(strip --strip-debug ${unneeded} --enable-deterministic-archives ${archives})

# The symbols file has the version in which each came; that it has all of them, and no other, is checked here.
file(REMOVE_RECURSE "${control}")
file(MAKE_DIRECTORY "${control}/debian")
file(WRITE "${control}/triggers" "activate-noawait ldconfig\n")
file(WRITE "${control}/shlibs" "libsio ${CPACK_PACKAGE_VERSION_MAJOR} ${library} (>= ${CPACK_PACKAGE_VERSION})\n")
file(WRITE "${control}/debian/control" "") # dpkg-shlibdeps wants to be in a source package
run(dpkg-gensymbols -c4 -p${library} -v${version} -e${shared}
    "-I${CPACK_SIO_SOURCE_DIR}/cmake/debian/${library}.symbols" "-O${control}/symbols")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA "${control}/shlibs;${control}/symbols;${control}/triggers")

# depends_on VARIABLE COMPONENT FILE...: what the packages of the shared libraries are that its files need.
function(depends_on variable component)
  cmake_path(GET shared PARENT_PATH libraries)
  set(mark "${stage}/${component}/DEBIAN") # dpkg-shlibdeps looks for it, to know where a package begins
  file(MAKE_DIRECTORY "${mark}")
  execute_process(COMMAND dpkg-shlibdeps -O "-l${libraries}" "-L${control}/shlibs" ${ARGN} WORKING_DIRECTORY "${control}"
                  OUTPUT_VARIABLE found COMMAND_ERROR_IS_FATAL ANY)
  file(REMOVE_RECURSE "${mark}")
  string(REGEX REPLACE "^.*Depends=([^\n]*)\n" "\\1" found "${found}")
  set(${variable} "${found}" PARENT_SCOPE)
endfunction()
depends_on(CPACK_DEBIAN_LIBRARY_PACKAGE_DEPENDS library ${shared})
depends_on(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS tools ${programs})
