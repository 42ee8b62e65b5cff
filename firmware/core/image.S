/* The program that every VM is given. */
    .section .rodata
    .globl agent_image, agent_image_end
    .balign 4096
agent_image:
    .incbin "agent.bin"
agent_image_end:
