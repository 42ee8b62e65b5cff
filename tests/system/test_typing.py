"""`pageferry console`: what a person types is answered, to the end of the input."""

from click.testing import CliRunner

from pageferry.cli import main


def test_what_is_typed_is_answered_until_the_input_ends(arch: str) -> None:
    typed = "5 help\n6 remap 1 4096 2 4096\nnonsense\n"
    ran = CliRunner().invoke(main, ["console", "--arch", arch], input=typed)
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    assert f"# pageferry {arch} ready" in lines
    answers = [line for line in lines if line.startswith("< ")]
    assert [answer.split()[1:3] for answer in answers[:3]] == [
        ["5", "ok"],
        ["6", "out-of-range"],
        ["0", "bad-request"],
    ]
