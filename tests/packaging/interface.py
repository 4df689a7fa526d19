# SPDX-License-Identifier: BSD-2-Clause
"""What include/sio/*.h declare: the calls, their prototypes, and the errors that the comments name.

A call is what follows SIO_API, or SIO_HOT_API. The errors of a call are in the comment before it, from "Errors:" to an empty line or its end:

    Errors: EINVAL  why                    an entry; each begins in the same column
            EMFILE, ENFILE  why,           one with several names, and with a second line,
                    which is indented
            EISCONN  sio_setsockopt: why   of that call alone, where the comment is of several
            ENOMEM  as dma_alloc           these errors must be dma_alloc's too; after "; EFAULT also"
                                           that one
            and those of ec_create         all of ec_create's besides
            and those of sio_recv, but for EMSGSIZE
            and the request's own          whatever the operation's are: ANY

A name within an explanation must be one of an entry, and a call that is referred to must be declared; else this fails.
"""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANY = 'any'

_NAMES = r'E[A-Z0-9]+(?:, E[A-Z0-9]+)*'
_ENTRY = re.compile(rf'({_NAMES})(?![A-Z0-9_])\s*(.*)')
_NAME = re.compile(r'\bE[A-Z][A-Z0-9]+\b(?!_)')
_NO_ERRORS = re.compile(r'EPOLL[A-Z0-9]*$')
_THOSE_OF = re.compile(rf'and those of (\w+)(?:, but for ({_NAMES}))?$')


class Wrong(Exception):
    """A header or a page does not say what it should."""


class Call:
    def __init__(self, name, header, prototype, comment, siblings):
        self.name = name
        self.header = header  # "dma.h"
        self.prototype = prototype
        self.siblings = siblings  # all calls of the same comment
        self.own = set()  # errors of its entries
        self.like = []  # (call, names): what "as CALL" says
        self.also = []  # (call, names but for which): "and those of CALL"
        for head, text in _entries(name, comment):
            self._read(head, text)

    def _read(self, head, text):
        if head is None:
            found = _THOSE_OF.match(text)
            if text == "and the request's own":
                self.own.add(ANY)
            elif found:
                self.also.append((found[1], set((found[2] or '').split(', ')) - {''}))
            else:
                raise Wrong(f'{self.header}: {self.name}: not understood: {text!r}')
            return
        limited = re.match(r'((?:\w+(?:, | and ))*\w+):', text)
        if limited:
            only = re.split(', | and ', limited[1])
            if all(one in self.siblings for one in only) and self.name not in only:
                return
            if not all(one in self.siblings for one in only) and any('_' in one for one in only):
                raise Wrong(f'{self.header}: {self.name}: {limited[1]}: not calls of this comment')
        names = set(head.split(', '))
        self.own |= names
        for found in re.finditer(r'\bas ((?:\w+(?:\(\d\))?(?:, | and )?)+)', text):
            clause = text[:found.start()].rpartition(';')[2]
            for other in re.split(', | and ', found[1]):
                if re.match(r'(dma|ec|sio|aio)_\w+$', other):
                    self.like.append((other, set(_NAME.findall(clause)) or names))


def _entries(name, comment):
    """The entries of a comment: (names, explanation), or (None, reference)."""
    lines = [re.sub(r'^\s*(?:/\*|\*)? ?', '', line) for line in comment.replace('*/', '').split('\n')]
    at = [i for i, line in enumerate(lines) if line.startswith('Errors:')]
    if not at:
        return []
    if len(at) > 1:
        raise Wrong(f'{name}: "Errors:" twice')
    lines = [line.replace('Errors:', '       ', 1) for line in lines[at[0]:]]
    end = next((i for i, line in enumerate(lines) if not line.strip()), len(lines))
    lines = [line.rstrip() for line in lines[:end]]
    column = len(lines[0]) - len(lines[0].lstrip())
    entries = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        text = line.strip()
        if indent > column and entries:
            entries[-1] = (entries[-1][0], f'{entries[-1][1]} {text}'.strip())
            continue
        found = _ENTRY.match(text)
        if indent == column and found:
            entries.append((found[1], found[2]))
        elif indent == column and text.startswith('and '):
            entries.append((None, text))
        else:
            raise Wrong(f'{name}: not understood among its errors: {text!r}')
    listed = {one for head, _ in entries if head for one in head.split(', ')}
    for head, text in entries:
        passing = {one for one in _NAME.findall(text) if not _NO_ERRORS.match(one)}
        if head is not None and passing - listed:
            raise Wrong(f'{name}: mentioned and not listed: {", ".join(sorted(passing - listed))}')
    return entries


def squeezed(text):
    """A prototype as it is compared: no white space but where words meet."""
    text = re.sub(r'\s+', ' ', text.strip())
    return re.sub(r' ?([*(),\[\];]) ?', r'\1', text)


class Interface:
    def __init__(self, include=ROOT / 'include' / 'sio'):
        self.calls = {}
        for header in sorted(include.glob('*.h')):
            self._read(header)
        for call in self.calls.values():
            for other, names in call.like:
                missing = names - self.errors(other, call.name)
                if missing:
                    raise Wrong(f'{call.name}: {", ".join(sorted(missing))} "as {other}", which does not list that')

    def _read(self, header):
        text = header.read_text().replace('SIO_HOT_API', 'SIO_API')
        pattern = re.compile(r'/\*(?:[^*]|\*(?!/))*\*/\s*((?:SIO_API [^;]*;\s*)+|enum \{[^}]*\};\s*typedef [^;]*;\s*SIO_API [^;]*;)')
        for found in pattern.finditer(text):
            comment = text[found.start():found.start(1)]
            declared = re.findall(r'SIO_API ([^;]*);', found[1])
            names = [re.search(r'(\w+)\(', one)[1] for one in declared]
            for name, one in zip(names, declared):
                if name in self.calls:
                    raise Wrong(f'{name} is declared twice')
                self.calls[name] = Call(name, header.name, one, comment, names)
        count = len(re.findall(r'^SIO_API ', text, re.M))
        mine = sum(call.header == header.name for call in self.calls.values())
        if count != mine:
            raise Wrong(f'{header.name}: {count} declarations, {mine} with a comment before them')

    def errors(self, name, user='', path=()):
        """All errors of a call, those that it refers to included."""
        if name not in self.calls:
            raise Wrong(f'{user or "?"} refers to {name}, which is not declared')
        if name in path:
            raise Wrong(f'{name} refers to itself')
        call = self.calls[name]
        errors = set(call.own)
        for other, but in call.also:
            theirs = self.errors(other, name, (*path, name))
            if but - theirs:
                raise Wrong(f'{name}: but for {", ".join(sorted(but - theirs))}, which {other} does not have')
            errors |= theirs - but
        return errors
