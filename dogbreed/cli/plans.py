"""Show a Plan, ask, and apply it: the same way for every command that changes an account."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.session import Aws
    from dogbreed.plan import Plan, Step
    from dogbreed.priced import Price

_WORDS = {"+": "create", "~": "change", "-": "delete", "=": "leave", "!": "blocked"}


def show(plan: Plan, aws: Aws) -> None:
    """The steps on stderr, with what each costs while it is there."""
    where = f"account {aws.account}, {aws.region}"
    ui.note(
        f"plan for {where}" + (f" (the stand-in cloud at {aws.rehearsal}: no money is spent)" if aws.rehearsal else "")
    )
    for step in plan.steps:
        why = f"  ({step.why})" if step.why else ""
        words = step.resource.detail() if step.sign in "+~" else ""
        detail = f" ({words})" if words else ""
        ui.note(f"  {step.sign} {step.resource.kind} {step.resource.name}{detail}{_price(step)}{why}")
    counts = {sign: sum(step.sign == sign for step in plan.steps) for sign in _WORDS}
    ui.note("  " + ", ".join(f"{count} to {_WORDS[sign]}" for sign, count in counts.items() if count))
    if plan.ceiling is not None:
        ui.note(f"  at most {dollars(plan.ceiling)} in all")


def carry_out(
    plan: Plan,
    aws: Aws,
    *,
    yes: bool,
    dry_run: bool,
    question: str = "apply this plan?",
    adds: Decimal | None = None,
) -> bool:
    """Show, ask and apply; False when nothing was done: nothing to do, a dry run, or a no.

    DogbreedError for a plan that the project's budget does not allow. `adds`: the most that it may add to the dollars
    of an hour, where that is not what its new steps cost.
    """
    from dogbreed.cloud import budget

    show(plan, aws)
    if plan.changes:
        budget.check(aws, plan, adds, lambda words: ui.note(words) if ui.verbose else None)
    if dry_run:
        ui.note("dry run: nothing was changed")
        return False
    if not plan.changes and not plan.blocked:
        ui.note("nothing to change")
        return False
    if not ui.confirm(question, yes=yes):
        ui.note("nothing was changed")
        return False
    for step in plan.apply():
        ui.note(f"{_WORDS[step.sign]} {step.resource.kind} {step.resource.name}")
    return True


def lines(price: Price) -> str:
    """A month of each line of a price, for people."""
    from dogbreed import priced

    of = {part.name: f" (price of {part.of})" if part.aged() else "" for part in price.parts}
    return ", ".join(f"{part.name} {dollars(priced.month(part.hourly))}{of[part.name]}" for part in price.parts)


def dollars(amount: Decimal | None) -> str:
    """An amount of US dollars for people; what is not known is said to be unknown."""
    if amount is None:
        return "an unknown price"
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def _price(step: Step) -> str:
    price: Any = step.resource.hourly()
    if price is None:
        return "  price unknown"
    now = step.resource.hourly_now() if step.sign == "~" else price
    if now is not None and now != price:
        return f"  {dollars(now)}/h -> {dollars(price)}/h"
    return f"  {dollars(price)}/h" if price else ""
