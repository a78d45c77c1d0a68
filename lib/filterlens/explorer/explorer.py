"""The one interactive widget: pick a value on every axis, see what the render functions answer.

In Jupyter a pick calls Python. On the published page, where there is no Python, the same script answers from states that were
baked when the notebook was executed, or computes them itself. Which of the two is decided by where it runs, not by the author.
"""

from __future__ import annotations

import base64
import html
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets
import traitlets

from filterlens import checks
from filterlens.explorer import panels, script, sheets
from filterlens.explorer.axes import Axes, Option, among
from filterlens.explorer.published import Published, embedded


class _Choice(traitlets.TraitType):
    """The value of one axis: one of all its options. Which of them go together is settled by the explorer."""

    def validate(self, explorer: Explorer, value: object) -> Option:
        every = explorer._space.every(self.name)
        for option in every:
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return option
        raise traitlets.TraitError(f"{self.name}: got {checks.describe(value)}, expected one of its {len(every)} options")


class _Renderer:
    """A render function and the axes it names."""

    def __init__(self, call: Callable, space: Axes) -> None:
        if not callable(call):
            raise TypeError(f"render: got {checks.describe(call)}, expected a function of the axes, or a list of them")
        self.call, self.name = call, getattr(call, "__name__", type(call).__name__)
        self.arguments = _arguments(call, self.name, space)
        self.axes = space.needed(self.arguments)
        self.computed: tuple[str, Any] | None = getattr(call, "computed", None)  # (kind, data), or (kind, function that gives data)
        self.fetched: bool = getattr(call, "fetched", False)  # whether the data lie beside the page, not in it

    def answer(self, pick: Mapping[str, Option], space: Axes) -> list[dict[str, Any]]:
        """The panels for a pick, in the protocol's form."""
        answered = panels.shown(self.call(**{name: pick[name] for name in self.arguments}))
        for panel in answered:
            _check_axes_of(panel, space)
        return [panel.encode() for panel in answered]

    def first_picture(self, pick: Mapping[str, Option]) -> panels.Image | None:
        return panels.picture_of(panels.shown(self.call(**{name: pick[name] for name in self.arguments})))


class Explorer(Published):
    """Pick a value on each axis and see panels.

    axes: a dict from names to options: a list, a dict with one list per option of an earlier axis (the filters of a layer), or
    an ``Axis``. render: a function, or several, from axes to panels (``filterlens.explorer.panels``), which get the axes they name
    as parameters (or all, by ``**pick``) and return a panel, a list of panels or None. A function is called only if one of its
    axes has changed.

    Each axis is a trait: ``explorer.layer = "conv2"``, ``explorer.observe(f, "layer")``, ``ipywidgets.link``. Several at once:
    ``explorer.pick(layer="conv2", filter=3)``. If a layer has no such filter, the filter becomes the layer's first.

    start: the first pick, where that is not an axis' first option. bake: what the published page can answer, once the runner asks
    for it: None every pick, a dict from axes to fewer options, False nothing (the page then shows the first pick only). name: with
    it other pages of the book can show the explorer.

    Raises TypeError or ValueError naming the argument. A render function that raises shows its message in its place; when
    states are baked it fails the run.
    """

    _esm = script.module()
    _css = script.style()
    title = traitlets.Unicode().tag(sync=True)
    _axes = traitlets.List().tag(sync=True)
    _renderers = traitlets.List().tag(sync=True)

    def __init__(
        self, axes: Mapping[str, Any], render: Callable | Iterable[Callable], *,
        start: Mapping[str, Option] | None = None, bake: Mapping[str, Iterable[Option]] | bool | None = None,
        title: str = "", name: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        space = Axes(axes)
        for axis in space.axes:
            if hasattr(type(self), axis):
                raise ValueError(f"axes: got the name {axis!r}, which every widget has already; expected another one")
        calls = list(render) if isinstance(render, Iterable) else [render]
        if not calls:
            raise ValueError("render: got an empty list, expected at least one function")
        renderers = [_Renderer(call, space) for call in calls]
        if not isinstance(title, str):
            raise TypeError(f"title: got {checks.describe(title)}, expected text")
        if not (bake is None or isinstance(bake, bool | Mapping)):
            raise TypeError(f"bake: got {checks.describe(bake)}, expected None, False or a dict of axes and options")
        if not (start is None or isinstance(start, Mapping)):
            raise TypeError(f"start: got {checks.describe(start)}, expected a dict of axes and values")
        first = space.check(start or {})
        if name is not None:
            sheets.check_name(name)
        for option in options:
            if not self.has_trait(option):
                raise TypeError(f"{option}: an unknown argument; expected axes, render, start, bake, title, name or a trait of widgets")
        baked_space = space.restricted(bake) if isinstance(bake, Mapping) else space
        described = [{"axes": list(renderer.axes)} for renderer in renderers]
        super().__init__(title=title or "Explorer", _axes=space.encode(), _renderers=described, **options)
        self._calls, self._asked, self._settling = renderers, [None] * len(renderers), False
        self.__dict__["_space"] = space  # past __setattr__, which guards public names from here on
        self.add_traits(**{axis: _Choice(default_value=first[axis]).tag(sync=True) for axis in space.axes})
        self.add_traits(**{f"_answer_{i}": traitlets.Dict().tag(sync=True) for i in range(len(renderers))})
        for axis, value in first.items():
            self.set_trait(axis, value)
        self._html = None
        folder = sheets.asked()
        if folder is not None:
            self._html = self._bake(baked_space, baked_space.settled(first), sheets.Sheets(folder), bake is not False, name)
        self._answer_all(quiet=folder is None)
        self.observe(self._changed, list(space.axes))

    @property
    def picked(self) -> dict[str, Option]:
        """The present value of every axis."""
        return {axis: getattr(self, axis) for axis in self._space.axes}

    def pick(self, **changes: Option) -> None:
        """Set several axes at once. ValueError for an unknown axis, or a value it cannot have beside the others."""
        self._set(self._space.check(changes, self.picked))

    def recompute(self) -> None:
        """Call every render function again, because something they depend on has changed."""
        self._asked = [None] * len(self._calls)
        self._answer_all()

    def __setattr__(self, name: str, value: object) -> None:
        space: Axes | None = self.__dict__.get("_space")
        if space is not None and not name.startswith("_"):
            if name in space.axes:
                value = space.allow(name, value, self.picked)
            elif not hasattr(type(self), name):
                space.known(name)
        super().__setattr__(name, value)

    def _set(self, pick: Mapping[str, Option]) -> None:
        """All axes first, then one answer: between two axes of one pick there may be no such state."""
        self._settling = True
        try:
            with self.hold_sync():  # the front end hears of the whole pick at once
                for axis, value in pick.items():
                    self.set_trait(axis, value)
        finally:
            self._settling = False
            self._answer_all()

    def _changed(self, _change: object) -> None:
        if not self._settling:
            self._set(self._space.settled(self.picked))

    def _answer_all(self, *, quiet: bool = True) -> None:
        pick = self.picked
        for number, renderer in enumerate(self._calls):
            asked = {axis: pick[axis] for axis in renderer.axes}
            if asked != self._asked[number]:
                self._asked[number] = None  # an interrupted answer is none
                self.set_trait(f"_answer_{number}", {"pick": asked, "panels": self._answered(renderer, pick, quiet)})
                self._asked[number] = asked

    def _answered(self, renderer: _Renderer, pick: Mapping[str, Option], quiet: bool) -> list[dict[str, Any]]:
        try:
            return renderer.answer(pick, self._space)
        except Exception as error:
            if not quiet:
                raise
            return [panels.Error(title=f"{renderer.name} failed", text=f"{type(error).__name__}: {error}").encode()]

    def _bake(self, space: Axes, pick: dict[str, Option], folder: sheets.Sheets, every: bool, name: str | None) -> str:
        """The explorer as HTML that starts with a pick, all states in files; with ``every`` False just that pick."""
        if not every:
            space = space.restricted({axis: [value] for axis, value in pick.items()})
        described = []
        for renderer in self._calls:
            whose = f"{renderer.name!r} in {self.title!r}"
            about: dict[str, Any] = {"axes": list(renderer.axes), "first": sheets.text_of([renderer.answer(pick, self._space)])}
            if renderer.computed is not None and every:
                kind, data = renderer.computed
                data = data() if callable(data) else data
                if renderer.fetched:
                    about["computed"], about["sheet"] = [kind, ""], folder.write_one(data, whose=whose)
                else:
                    about["computed"] = [kind, sheets.text_of([data])]
            elif every and renderer.axes:
                states = (renderer.answer(one, self._space) for one in space.picks(renderer.axes))
                about["sheets"], about["starts"] = folder.write(states, whose=whose)
            described.append(about)
        state = {"title": self.title, "axes": space.encode(), "pick": pick, "renderers": described}
        text = self._page(state, pick, folder.folder.name)
        if name is not None:
            folder.keep(name, text)
        return text

    def _page(self, state: dict[str, Any], pick: Mapping[str, Option], folder: str) -> str:
        found = (renderer.first_picture(pick) for renderer in self._calls)
        image = next((image for image in found if image is not None), None)
        shown = ""
        if image is not None:
            png = base64.b64encode(panels.png(image)).decode()
            shown = f'<img class="fl-fallback" src="data:image/png;base64,{png}" alt="{html.escape(image.alt)}">'
        return embedded("data-filterlens-explorer", folder, shown, state)


class Beside(ipywidgets.VBox):
    """Widgets above an explorer; the published page, where nobody would answer them, shows the explorer alone."""

    def __init__(self, *widgets: ipywidgets.Widget, explorer: Explorer) -> None:
        super().__init__([*widgets, explorer])
        self._explorer = explorer

    def _repr_mimebundle_(self, **options: Any) -> Any:
        data = super()._repr_mimebundle_(**options)
        page = self._explorer._html
        return {**data, "text/html": page} if page is not None else data


def _arguments(call: Callable, name: str, space: Axes) -> tuple[str, ...]:
    """The axes a render function takes, by its signature."""
    kinds = inspect.Parameter
    wanted: list[str] = []
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is kinds.VAR_KEYWORD:
            return tuple(space.axes)
        if parameter.kind in (kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL):
            raise TypeError(f"render: {name!r} takes {parameter}, expected parameters that can be given by name")
        if parameter.name in space.axes or parameter.default is kinds.empty:
            wanted.append(space.known(parameter.name, f"render: {name!r}"))
    return tuple(wanted)


def _check_axes_of(panel: panels.Panel, space: Axes) -> None:
    """A panel may name axes, in clicks, as its threshold and as the cases it holds; they must exist."""
    picks = list(panel.conditions())
    for drawn in panel.inner():
        threshold = getattr(drawn, "threshold", None)
        if threshold is not None:
            space.known(threshold, "threshold")
        images = [getattr(drawn, "picture", None), *getattr(drawn, "pictures", ()), *(image for image, _ in getattr(drawn, "nodes", ()))]
        picks += [image.pick for image in images if image is not None]
        for row in getattr(drawn, "picks", None) or ():
            picks += row if isinstance(row, list | tuple) else [row]
    for pick in picks:
        for axis, value in (pick or {}).items():
            every = space.every(space.known(axis, "pick"))
            if not among(value, every):
                raise ValueError(f"pick: got {checks.describe(value)} for {axis!r}, which is none of its {len(every)} options")
